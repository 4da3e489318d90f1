"""The control channel: commands of people and flows to a running engine, and its answers.

``keel:live:{run}:commands`` is a stream; the engine reads it from a cursor that only moves when it acknowledges, so a
command is delivered at least once, over restarts too. A command carries an id: one that was answered before is not
delivered again, and asking for its answer gives the first one. Whatever cannot be understood is refused by name and
answered like everything else. A loosening command that lay around while no engine ran is refused as too old.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
import redis
import redis.asyncio

from engine.contracts.errors import BadInput, Retryable
from engine.contracts.redaction import clean
from engine.store.liveview import check_run

_KEPT: Final = 10_000
_ANSWER_TTL_S: Final = 7 * 24 * 3600
_LONGEST: Final = 10_000  # bytes of one command
_BLOCK_S: Final = 2.0  # one wait of a reader; below the clients' reply timeouts
_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z_-]+$")]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class Command(msgspec.Struct, frozen=True, kw_only=True, tag_field="command", forbid_unknown_fields=True):
    """`who` asked for it and `why`; `ts_ns` is the sender's wall clock, for the audit only."""

    id: _Id
    who: _Text
    why: _Text
    ts_ns: int


class Pause(Command, frozen=True, tag="pause"):
    """No entries until resumed."""


class Reduce(Command, frozen=True, tag="reduce"):
    """Exits only until resumed."""


class Resume(Command, frozen=True, tag="resume"):
    """Trade again; only a person says so."""


class Rekey(Command, frozen=True, tag="rekey"):
    """Take up the API key that was proposed under the name `key` in the key file; no key material comes this way."""

    key: _Text


class Set(Command, frozen=True, tag="set"):
    """Change a parameter or limit; the engine judges the value as it would one from the configuration."""

    key: _Text
    value: float


class Adopt(Command, frozen=True, tag="adopt"):
    """Take over the foreign position in `instrument` (``venue:SYMBOL``) with a stop at the price `stop`."""

    instrument: _Text
    stop: float


AnyCommand = Adopt | Pause | Reduce | Resume | Rekey | Set
# How long after it was sent a command may still be carried out, by Redis' clock; None: always. What tightens never
# gets too old; a `resume` of yesterday must not start today's trading.
MAX_AGE_S: Final[Mapping[type[Command], int | None]] = {
    Pause: None, Reduce: None, Adopt: 60, Resume: 60, Rekey: 60, Set: 60,
}  # fmt: skip
_DECODE: Final = msgspec.json.Decoder(AnyCommand).decode
_ENCODE: Final = msgspec.json.Encoder().encode


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a command; `message` says what, or why not. Of a `set`: the values in force before and after."""

    id: str
    accepted: bool
    message: str = ""
    before: float | None = None
    after: float | None = None


class Delivery(msgspec.Struct, frozen=True):
    """A command to carry out, then to acknowledge."""

    entry: bytes
    command: AnyCommand


def new_id() -> str:
    return secrets.token_hex(8)


def send(client: redis.Redis, run: str, command: AnyCommand) -> None:
    """Hand over a command; sending it twice under one id does it once. Raises Retryable when Redis is not reachable
    (then it may have arrived: send it again under the same id)."""
    try:
        msgspec.convert(msgspec.to_builtins(command), AnyCommand)
    except msgspec.ValidationError as error:
        raise BadInput(f"the command cannot be sent: {error}") from None
    fields: dict[Any, Any] = {"command": _ENCODE(command)}
    try:
        client.xadd(_key(run, "commands"), fields, maxlen=_KEPT, approximate=True)
    except (redis.RedisError, OSError) as error:
        raise Retryable(f"the engine's control channel is not reachable ({type(error).__name__})") from None


def await_answer(client: redis.Redis, run: str, command_id: str, timeout_s: float) -> Answer | None:
    """What the engine answered; None when it has not within `timeout_s` (it may still). Raises Retryable when Redis
    is not reachable."""
    key, give_up = _key(run, f"answer:{command_id}"), time.monotonic() + timeout_s
    while True:
        left_s = max(0.001, min(_BLOCK_S, give_up - time.monotonic()))
        try:
            found: Any = client.xread({key: "0-0"}, count=1, block=int(left_s * 1000) or 1)
        except (redis.RedisError, OSError) as error:
            raise Retryable(f"the engine's control channel is not reachable ({type(error).__name__})") from None
        if found:
            return msgspec.json.decode(found[0][1][0][1][b"answer"], type=Answer)
        if time.monotonic() >= give_up:
            return None


class CommandInbox:
    """The engine's end. One for each run; `client` stays the caller's."""

    def __init__(self, client: redis.asyncio.Redis, run: str) -> None:
        self._client = client
        self._run = run
        self._cursor: bytes | None = None  # None: ask Redis where we were
        self._taken: dict[str, None] = {}  # delivered by this process, the latest _KEPT
        self._held: dict[bytes, bool] = {}  # delivered entries in order -> acknowledged
        self.refused = 0

    async def receive(self, wait_s: float = 1.0, most: int = 100) -> list[Delivery]:
        """The commands that came, after at most `wait_s` (below the client's reply timeout; 0: at once); often none.

        Raises Retryable when Redis is not reachable; nothing is lost then, call again.
        """
        deliveries: list[Delivery] = []
        try:
            if self._cursor is None:
                stored: Any = await self._client.get(_key(self._run, "commands:cursor"))
                self._cursor = stored or b"0-0"
            found: Any = await self._client.xread(
                {_key(self._run, "commands"): self._cursor}, count=most, block=int(wait_s * 1000) or None
            )
            for entry, fields in found[0][1] if found else []:
                delivery = await self._judge(entry, fields)
                if delivery is not None:
                    deliveries.append(delivery)
                self._cursor = entry
        except (redis.RedisError, OSError) as error:
            self._cursor = None  # Redis may have lost everything: start from its own cursor again
            if not deliveries:
                raise Retryable(f"the control channel is not reachable ({type(error).__name__})") from None
        return deliveries

    async def acknowledge(
        self,
        delivery: Delivery,
        accepted: bool,
        message: str = "",
        before: float | None = None,
        after: float | None = None,
    ) -> None:
        """Answer a command after it was journalled. Raises Retryable when Redis is not reachable: call again, or
        let it be delivered again after the next start."""
        answer = Answer(id=delivery.command.id, accepted=accepted, message=clean(message), before=before, after=after)
        try:
            await self._answer(delivery.entry, answer)
        except (redis.RedisError, OSError) as error:
            raise Retryable(f"the control channel is not reachable ({type(error).__name__})") from None

    async def _judge(self, entry: bytes, fields: Mapping[bytes, bytes]) -> Delivery | None:
        """A delivery, or None: refused and answered here, answered before, or in the engine's hands already."""
        raw = fields.get(b"command", b"")
        try:
            if len(raw) > _LONGEST:
                raise msgspec.ValidationError(f"{len(raw)} bytes are too many")
            command = _DECODE(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self.refused += 1
            self._held[entry] = False
            await self._answer(entry, Answer(id=_id_of(raw), accepted=False, message=f"not understood: {error}"))
            return None
        if command.id in self._taken:
            return None
        self._held[entry] = False
        if await self._client.exists(_key(self._run, f"answer:{command.id}")):
            await self._move_on(entry)
            return None
        if late := await self._too_old(entry, command):
            self.refused += 1
            await self._answer(entry, Answer(id=command.id, accepted=False, message=late))
            return None
        self._taken[command.id] = None
        if len(self._taken) > _KEPT:
            del self._taken[next(iter(self._taken))]
        return Delivery(entry, command)

    async def _too_old(self, entry: bytes, command: AnyCommand) -> str:
        most_s = MAX_AGE_S[type(command)]
        if most_s is None:
            return ""
        seconds, micros = await self._client.time()
        age_s = seconds + micros / 1e6 - int(entry.partition(b"-")[0]) / 1000
        name = type(command).__name__.lower()
        return f"{name} was sent {age_s:.0f} s ago, more than {most_s} s: send it again" if age_s > most_s else ""

    async def _answer(self, entry: bytes, answer: Answer) -> None:
        fields: dict[Any, Any] = {"answer": _ENCODE(answer)}
        key = _key(self._run, f"answer:{answer.id or entry.decode()}")
        pipe = self._client.pipeline(transaction=True)
        pipe.xadd(key, fields, maxlen=10)  # whoever looks reads the first
        pipe.expire(key, _ANSWER_TTL_S)
        await pipe.execute()
        await self._move_on(entry)

    async def _move_on(self, entry: bytes) -> None:
        """The stored cursor follows up to the first command still in the engine's hands."""
        if entry not in self._held:
            return
        self._held[entry] = True
        done = None
        while self._held and self._held[first := next(iter(self._held))]:
            done = first
            del self._held[first]
        if done is not None:
            await self._client.set(_key(self._run, "commands:cursor"), done)


def _id_of(raw: bytes) -> str:
    """The id of a command that cannot be understood, if at least that is there."""
    try:
        return str(msgspec.convert(msgspec.json.decode(raw)["id"], _Id))
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, KeyError, IndexError):
        return ""


def _key(run: str, name: str) -> str:
    return f"keel:live:{check_run(run)}:{name}"
