"""``trading-cli keys``: API keys, encrypted at rest. They come by prompt or stdin, never as an argument."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from engine.cli.terminal import JsonOption, print_json, say
from engine.contracts.errors import BadInput, Refused
from engine.contracts.redaction import learn

if TYPE_CHECKING:
    from pydantic import SecretStr

    from engine.cli.findings import Check
    from engine.settings import Settings
    from engine.store.keys import KeyFile, StoredKey
    from engine.venues.plan import VenuePlan

LONGEST: Final = 16_384  # bytes of stdin; an RSA key of 4096 bits has 3,300
KEY_NAMES: Final = ("key", "apiKey", "api_key", "name")  # `name`, `privateKey`: the file Coinbase lets one download
BINANCE_LENGTH: Final = 64  # of an API key, and of the secret of an HMAC one
SECRET_NAMES: Final = ("secret", "privateKey", "private_key", "api_secret")
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Your name for the key, as in [venues.X] key.")]

app = typer.Typer(help="API keys of the exchanges, encrypted in the home folder.", no_args_is_help=True)


class Parts:
    """What was typed or piped in."""

    def __init__(self, key: SecretStr, secret: SecretStr, password: SecretStr | None) -> None:
        self.key = key
        self.secret = secret
        self.password = password
        for part in (key, secret, password):
            learn(part.get_secret_value() if part else None)


@app.command("add")
def add(
    name: NameArgument,
    exchange: Annotated[str, typer.Option(help="binance, binanceusdm, coinbase, or any id ccxt knows.")] = "binance",
    from_stdin: Annotated[
        bool, typer.Option("--stdin", help="Read JSON (key, secret) or lines: key, then secret.")
    ] = False,
    password: Annotated[bool, typer.Option("--password", help="Ask for the third part some exchanges have.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Store an API key, encrypted. It is typed hidden, or piped in; PEM keys may be pasted with \\n for line breaks.

    Example: trading-cli keys add main --exchange binance
    """
    from engine import settings

    in_force = settings.load()
    _check_exchange(exchange)
    parts = _piped() if from_stdin else _typed(password)
    if fault := _fault(exchange, parts):
        raise BadInput(fault)
    file = open_keys(in_force, piped=from_stdin)
    made = file.add(name, exchange, parts.key, parts.secret, parts.password)
    if as_json:
        print_json({"stored": _shown(made), "file": file.path})
    else:
        print(f"stored: {name} ({exchange}, key {made.hint}) in {file.path}")


@app.command("list")
def list_keys(as_json: JsonOption = False) -> None:
    """Show the stored keys: name, exchange, when, and the last four characters of the public part.

    Example: trading-cli keys list
    """
    from engine import settings

    in_force = settings.load()
    from engine.store.keys import FILE

    found = open_keys(in_force).read() if (in_force.home / FILE).exists() else {}
    if as_json:
        print_json({"keys": [_shown(one) for one in found.values()]})
        return
    if not found:
        print(f"no keys are stored in {in_force.home}; trading-cli keys add NAME stores one")
    for one in found.values():
        row = _shown(one)
        print(f"{row['name']:<20} {row['exchange']:<14} {row['created']}  key {row['key']}")


@app.command("remove")
def remove(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Forget a stored key. Revoke it at the exchange too: this deletes our copy only.

    Example: trading-cli keys remove main
    """
    from engine import settings

    file = open_keys(settings.load())
    file.get(name)
    if not yes:
        if not sys.stdin.isatty():
            raise Refused("not confirmed: run it in a terminal, or with --yes")
        typer.confirm(f"forget the key {name}?", abort=True, err=True)
    file.remove(name)
    if as_json:
        print_json({"removed": name})
    else:
        print(f"removed: {name}")


@app.command("rotate")
def rotate(
    name: NameArgument,
    from_stdin: Annotated[
        bool, typer.Option("--stdin", help="Read JSON (key, secret) or lines: key, then secret.")
    ] = False,
    why: Annotated[str, typer.Option("--why", help="The reason, for the audit.")] = "rotation",
    wait: Annotated[float, typer.Option("--wait", min=0.1, max=600.0, help="Seconds to wait for the engine.")] = 60.0,
    as_json: JsonOption = False,
) -> None:
    """Replace a stored key by another of the same account; a running engine goes on with it, its orders stay.

    The exchange is asked first: a key that is refused or may withdraw leaves the old one in force.

    Example: trading-cli keys rotate main
    """
    from engine import settings
    from engine.cli import rotation

    in_force = settings.load()
    file = open_keys(in_force, piped=from_stdin)
    old = file.get(name)
    parts = _piped() if from_stdin else _typed(old.password is not None)
    if fault := _fault(old.exchange, parts):
        raise BadInput(fault)
    if parts.key == old.key and parts.secret == old.secret:
        raise BadInput(f"this is the key {name} that is in force; make another one at the exchange")
    new = file.propose(name, parts.key, parts.secret, parts.password)
    done = rotation.rotate(in_force, file, _where(in_force, old, testnet=False), old, new, why, wait)
    if as_json:
        print_json(done)
    else:
        print(f"rotated: {name} ({old.exchange}), key {done['before']} -> {done['after']}: {done['message']}")


@app.command("test")
def test(
    name: NameArgument,
    testnet: Annotated[bool, typer.Option("--testnet", help="At the exchange's test network.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask the exchange what a stored key may do: at the venues that use it, else at its exchange. Exit code 1: refused.

    Example: trading-cli keys test main
    """
    import asyncio

    from engine import settings
    from engine.cli.findings import show
    from engine.cli.venue_check import examine_venue, opener

    in_force = settings.load()
    key = open_keys(in_force).get(name)
    plans = _where(in_force, key, testnet)

    async def ask() -> list[Check]:
        async with opener(in_force) as opened:
            return [check for plan in plans for check in await examine_venue(plan, key, opened)]

    raise typer.Exit(0 if show(asyncio.run(ask()), as_json) else 1)


def _where(settings: Settings, key: StoredKey, testnet: bool) -> list[VenuePlan]:
    """Where a key is tried: at the venues that use it, else (or with `testnet`) at its exchange."""
    from engine.venues.plan import venue_plan

    plans = [plan for plan in settings.venues.values() if plan.key == key.name]
    if plans and not testnet:
        return plans
    symbol = {"binanceusdm": "BTC/USDT:USDT", "coinbase": "BTC/USDC"}.get(key.exchange, "BTC/USDT")
    return [venue_plan(key.name.lower(), {"exchange": key.exchange, "symbols": [symbol], "testnet": testnet})]


def open_keys(settings: Settings, piped: bool = False) -> KeyFile:
    """The key file in force; a person is asked for the passphrase where one is at the terminal."""
    from engine.store.keys import FILE, KeyFile
    from engine.store.passphrase import find_passphrase

    is_new = not (settings.home / FILE).exists()

    def ask() -> SecretStr:
        from pydantic import SecretStr

        text = "new passphrase for the key file (it cannot be recovered)" if is_new else "passphrase of the key file"
        return SecretStr(typer.prompt(text, hide_input=True, confirmation_prompt=is_new, err=True))

    can_ask = sys.stdin.isatty() and not piped
    return KeyFile(settings.home, find_passphrase(settings.passphrase_file, settings.home, ask if can_ask else None))


def _shown(one: StoredKey) -> dict[str, str]:
    created = datetime.fromtimestamp(one.created_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return {"name": one.name, "exchange": one.exchange, "created": created, "key": one.hint}


def _check_exchange(exchange: str) -> None:
    from difflib import get_close_matches

    from engine.venues.plan import exchanges

    if exchange not in exchanges():
        near = get_close_matches(exchange, exchanges(), 1)
        raise BadInput(f"--exchange {exchange} is not an exchange" + (f"; did you mean {near[0]!r}?" if near else ""))


def _typed(wants_password: bool) -> Parts:
    """Ask a person. Raises BadInput where there is none."""
    from pydantic import SecretStr

    if not sys.stdin.isatty():
        raise BadInput("nobody to ask for the key: run it in a terminal, or pipe the key in with --stdin")
    say("nothing of what you type or paste is shown")
    key = SecretStr(typer.prompt("API key", hide_input=True, err=True))
    lines = [SecretStr(typer.prompt("secret, or private key in PEM", hide_input=True, err=True))]
    while _is_open_pem(lines):
        lines.append(
            SecretStr(typer.prompt("  ... next line", hide_input=True, err=True, default="", show_default=False))
        )
    secret = SecretStr("\n".join(line.get_secret_value() for line in lines))
    password = SecretStr(typer.prompt("password", hide_input=True, err=True)) if wants_password else None
    return _tidied(Parts(key, secret, password))


def _is_open_pem(lines: list[SecretStr]) -> bool:
    begun = "-----BEGIN" in lines[0].get_secret_value()
    return begun and not any("-----END" in line.get_secret_value() for line in lines)


def _piped() -> Parts:
    """Read stdin to its end. Raises BadInput."""
    from pydantic import SecretStr

    found = _parsed(SecretStr(sys.stdin.buffer.read(LONGEST + 1).decode("utf-8", "replace")))
    if found is None:
        raise BadInput(
            'stdin must hold JSON such as {"key": "...", "secret": "..."}, or the key on the first line and the secret '
            f"on the next ones, at most {LONGEST:,} bytes"
        )
    return _tidied(found)


def _parsed(piped: SecretStr) -> Parts | None:
    """Key and secret of JSON or lines; None where there are none. Never raises: it sees them."""
    import msgspec
    from pydantic import SecretStr

    text = piped.get_secret_value()
    if len(text) > LONGEST:
        return None
    try:
        found: Any = msgspec.json.decode(text)
    except msgspec.DecodeError:
        key, _, secret = text.strip().partition("\n")
        return Parts(SecretStr(key), SecretStr(secret), None) if secret.strip() and key[:1] != "{" else None
    if not isinstance(found, dict):
        return None
    key = next((found[name] for name in KEY_NAMES if isinstance(found.get(name), str)), "")
    secret = next((found[name] for name in SECRET_NAMES if isinstance(found.get(name), str)), "")
    third = found.get("password")
    return Parts(SecretStr(key), SecretStr(secret), SecretStr(third) if third and isinstance(third, str) else None)


def _tidied(parts: Parts) -> Parts:
    """Without what copying adds: blanks and quotes around, \\n as two characters in a PEM key. Never raises."""
    from pydantic import SecretStr

    def plain(secret: SecretStr) -> SecretStr:
        text = secret.get_secret_value().strip().strip("\"'").strip()
        if "-----BEGIN" in text:
            text = text.replace("\\r", "").replace("\\n", "\n").replace("\r", "").strip() + "\n"
        return SecretStr(text)

    return Parts(plain(parts.key), plain(parts.secret), parts.password)


def _fault(exchange: str, parts: Parts) -> str:
    """What is wrong with the key by its form alone, empty where nothing is. Never raises: the checks see the key."""
    from engine.venues.coinbase_keys import coinbase_key
    from engine.venues.plan import NATIVE
    from engine.venues.signing import Secret, binance_signer

    key, secret = parts.key.get_secret_value(), parts.secret.get_secret_value()
    try:
        if exchange == "coinbase":
            coinbase_key(key, Secret(secret), "coinbase")
        elif not key or not key.isascii() or any(letter.isspace() for letter in key):
            return "the API key is empty or has blanks in it; copy it again from the exchange's page"
        elif exchange in NATIVE:
            binance_signer(Secret(secret), "the secret")
            return _binance_fault("API key", key) or ("" if "-----" in secret else _binance_fault("secret", secret))
        elif not secret:
            return "the secret is empty; copy it again from the exchange's page"
    except BadInput as error:
        return str(error)
    return ""


def _binance_fault(what: str, text: str) -> str:
    """What is wrong with one of Binance's keys, whatever its network. Never raises."""
    if len(text) == BINANCE_LENGTH and text.isalnum():
        return ""
    found = f"{len(text)} characters" + ("" if text.isalnum() else ", not only letters and digits")
    return f"the {what} has {found}; Binance's have {BINANCE_LENGTH} letters and digits: copy it, and nothing else"
