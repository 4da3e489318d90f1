"""API keys: they come back, nobody else gets them, and no output, traceback or file shows them."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from rich.console import Console
from rich.traceback import Traceback
from typer.testing import CliRunner, Result

from engine.cli import keys as keys_command
from engine.cli.main import app
from engine.contracts.errors import BadData, BadInput, KeelError, Refused
from engine.sandbox.api_keys import KeyKind, new_key
from engine.store.keys import FILE, KeyFile
from engine.store.passphrase import find_passphrase

ROOT = Path(__file__).resolve().parents[2]
API_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
PASSPHRASE = "correct horse battery staple"
FAST = 14  # the cheapest passphrase work the file format knows


def hidden(text: str = PASSPHRASE) -> SecretStr:
    return SecretStr(text)


def pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    made = KeyFile(tmp_path, hidden(), FAST)
    made.add("main", "binance", SecretStr(API_KEY), SecretStr(SECRET), None)
    return made


def test_what_was_stored_comes_back_and_lies_encrypted_for_the_owner_only(keys: KeyFile) -> None:
    keys.add("second", "okx", SecretStr("public-2"), SecretStr("secret-2"), SecretStr("third-2"))
    again = KeyFile(keys.path.parent, hidden()).read()
    assert list(again) == ["main", "second"]
    assert again["main"].secret.get_secret_value() == SECRET
    assert again["main"].key.get_secret_value() == API_KEY
    assert again["second"].password is not None and again["second"].password.get_secret_value() == "third-2"
    assert again["main"].hint == "..." + API_KEY[-4:]
    assert keys.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in keys.path.parent.iterdir()] == [FILE]
    blob = keys.path.read_bytes()
    assert not any(word.encode() in blob for word in (API_KEY, SECRET, "binance", "main", "secret-2"))
    keys.remove("second")
    assert list(keys.read()) == ["main"]


def test_the_same_keys_are_never_written_the_same_way_twice(keys: KeyFile) -> None:
    before = keys.path.read_bytes()
    keys.add("other", "binance", SecretStr("a"), SecretStr("b"), None)
    keys.remove("other")
    after = keys.path.read_bytes()
    assert before[9:37] != after[9:37], "salt and nonce must be new at every write"


def shown(error: BaseException) -> str:
    """A traceback as talkative as they come: every frame but the test's own with its locals."""
    assert error.__traceback__ is not None
    out, frames = io.StringIO(), error.__traceback__.tb_next
    trace = Traceback.from_exception(type(error), error, frames, show_locals=True, locals_max_string=None)
    Console(file=out, width=300, force_terminal=False).print(trace)
    return out.getvalue()


def failures(keys: KeyFile) -> list[tuple[type[KeelError], Callable[[], object]]]:
    """Everything that can be refused, with secrets in play."""
    folder, key, secret = keys.path.parent, SecretStr(API_KEY), SecretStr(SECRET)
    wrong = KeyFile(folder, SecretStr(PASSPHRASE + "x"), FAST)
    return [
        (Refused, wrong.read),
        (Refused, lambda: wrong.add("b", "binance", key, secret, None)),
        (BadInput, lambda: keys.add("main", "binance", key, secret, None)),
        (BadInput, lambda: keys.add("no blanks", "binance", key, secret, None)),
        (BadInput, lambda: keys.add("b", "binance", key, SecretStr(SECRET + "\ud800"), None)),
        (BadInput, lambda: keys.get("absent")),
        (BadInput, lambda: KeyFile(folder, SecretStr(PASSPHRASE + "\udc00"), FAST)),
        (BadInput, lambda: KeyFile(folder / "new", SecretStr("short"), FAST).add("b", "binance", key, secret, None)),
    ]


def test_no_traceback_shows_a_key_or_the_passphrase(keys: KeyFile) -> None:
    for kind, fail in failures(keys):
        with pytest.raises(kind) as refused:
            fail()
        text = shown(refused.value) + repr(refused.value) + repr(refused.value.__context__)
        assert not any(word in text for word in (SECRET, API_KEY, PASSPHRASE)), text
    assert not any(word in repr(keys.read()) for word in (SECRET, API_KEY))


def test_a_wrong_passphrase_names_both_causes_and_the_fix(keys: KeyFile) -> None:
    with pytest.raises(Refused, match=r"passphrase is wrong, or the file was changed.*from a copy"):
        KeyFile(keys.path.parent, hidden("something else"), FAST).read()


@pytest.fixture(scope="module")
def blob() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        made = KeyFile(Path(folder), hidden(), FAST)
        made.add("main", "binance", SecretStr(API_KEY), SecretStr(SECRET), None)
        yield made.path.read_bytes()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_is_refused_without_showing_anything(blob: bytes, data: st.DataObject, tmp_path: Path) -> None:
    place = data.draw(st.integers(0, len(blob) - 1))
    flip = data.draw(st.integers(1, 255))
    if place == 8:  # the cost: another one would only take long (up to 2**20), what is refused is the same
        flip = data.draw(st.sampled_from([1, 128, 255]))
    damaged = bytearray(blob)
    damaged[place] ^= flip
    write(tmp_path / FILE, bytes(damaged))
    with pytest.raises((Refused, BadData)) as refused:
        KeyFile(tmp_path, hidden(), FAST).read()
    text = shown(refused.value)
    assert str(tmp_path / FILE) in str(refused.value)
    assert not any(word in text for word in (SECRET, API_KEY, PASSPHRASE))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(length=st.integers(0, 400))
def test_a_file_cut_short_or_grown_is_refused(blob: bytes, length: int, tmp_path: Path) -> None:
    changed = blob[:length] if length < len(blob) else blob + b"\0" * (length - len(blob) + 1)
    write(tmp_path / FILE, changed)
    with pytest.raises((Refused, BadData)):
        KeyFile(tmp_path, hidden(), FAST).read()


def write(path: Path, content: bytes, mode: int = 0o600) -> None:
    path.write_bytes(content)
    path.chmod(mode)


def test_a_key_file_that_others_may_read_is_refused(keys: KeyFile) -> None:
    keys.path.chmod(0o644)
    with pytest.raises(Refused, match=r"mode 0644.*chmod 600"):
        keys.read()


def test_a_full_disk_leaves_the_old_file(keys: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys.path.read_bytes()
    (keys.path.parent / f".{FILE}.{os.getpid()}.tmp").mkdir()  # where the new file would be written
    with pytest.raises((KeelError, OSError)):
        keys.add("b", "binance", SecretStr(API_KEY), SecretStr(SECRET), None)
    assert keys.path.read_bytes() == before


# --- the passphrase ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o440])
def test_the_passphrase_comes_from_a_mounted_file(tmp_path: Path, mode: int) -> None:
    write(tmp_path / "p", PASSPHRASE.encode() + b"\n", mode)
    assert find_passphrase(tmp_path / "p", tmp_path).get_secret_value() == PASSPHRASE


@pytest.mark.parametrize(("content", "mode", "said"), [
    (PASSPHRASE.encode(), 0o644, "chmod 600"), (PASSPHRASE.encode(), 0o620, "chmod 600"), (b"", 0o600, "one line"),
    (b"a\nb\n", 0o600, "one line"), (b"\xff\xfe", 0o600, "one line"), (b"x" * 5000, 0o600, "one line"),
])  # fmt: skip
def test_an_unusable_passphrase_file_is_refused_by_name(tmp_path: Path, content: bytes, mode: int, said: str) -> None:
    write(tmp_path / "p", content, mode)
    with pytest.raises((BadInput, Refused), match=said) as refused:
        find_passphrase(tmp_path / "p", tmp_path)
    assert "passphrase_file" in str(refused.value)
    assert PASSPHRASE not in shown(refused.value)


def test_nobody_to_ask_is_said_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="KEEL_PASSPHRASE_FILE"):
        find_passphrase(None, tmp_path)
    with pytest.raises(BadInput, match="cannot be read"):
        find_passphrase(tmp_path / "absent", tmp_path)


# --- the commands -----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "p", PASSPHRASE.encode())
    return tmp_path


def call(folder: Path, *args: str, given: str = "") -> Result:
    kept = {name: None for name in os.environ if name.startswith("KEEL_")}
    before = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner().invoke(app, ["keys", *args], input=given, env=kept | {"KEEL_PASSPHRASE_FILE": "p"})
    finally:
        os.chdir(before)


def test_add_list_and_remove_by_command(folder: Path) -> None:
    done = call(folder, "add", "main", "--stdin", given=json.dumps({"key": API_KEY, "secret": SECRET}))
    assert done.exit_code == 0, done.output
    listed = json.loads(call(folder, "list", "--json").stdout)["keys"]
    assert [(one["name"], one["exchange"], one["key"]) for one in listed] == [("main", "binance", "..." + API_KEY[-4:])]
    plain = call(folder, "list")
    assert "main" in plain.stdout and "binance" in plain.stdout
    refused = call(folder, "remove", "main")
    assert refused.exit_code == 3 and "--yes" in refused.stderr
    assert call(folder, "remove", "main", "--yes").exit_code == 0
    assert json.loads(call(folder, "list", "--json").stdout) == {"keys": []}
    assert not any(word in text for text in (done.output, plain.output) for word in (API_KEY, SECRET, PASSPHRASE))


def test_lines_are_taken_too_and_quotes_and_blanks_around_them_fall_off(folder: Path) -> None:
    assert call(folder, "add", "main", "--stdin", given=f'  "{API_KEY}" \n {SECRET} \n').exit_code == 0
    stored = KeyFile(folder / ".keel", hidden()).get("main")
    assert (stored.key.get_secret_value(), stored.secret.get_secret_value()) == (API_KEY, SECRET)


def test_the_sandboxs_keys_are_taken_and_those_of_unknown_exchanges_in_any_form(folder: Path) -> None:
    for kind in get_args(KeyKind):
        made = new_key(kind)
        document = json.dumps({"key": made.api_key, "secret": made.secret})
        done = call(folder, "add", kind.lower(), "--exchange", "binanceusdm", "--stdin", given=document)
        assert done.exit_code == 0, done.output
    assert call(folder, "add", "other", "--exchange", "kraken", "--stdin", given="a/b+c==\nshort\n").exit_code == 0


def test_pem_keys_are_taken_with_escaped_line_breaks_and_as_coinbase_writes_them(folder: Path) -> None:
    name = "organizations/6cb8a7c2-1b2c-4d3e-8f90-0123456789ab/apiKeys/f0e1d2c3-b4a5-4678-9abc-def012345678"
    coinbase = pem(ec.generate_private_key(ec.SECP256R1()))
    document = json.dumps({"name": name, "privateKey": coinbase})
    assert call(folder, "add", "cb", "--exchange", "coinbase", "--stdin", given=document).exit_code == 0
    ed = pem(ed25519.Ed25519PrivateKey.generate())
    escaped = ed.replace("\n", "\\n")
    assert call(folder, "add", "ed", "--stdin", given=f"{API_KEY}\n{escaped}\n").exit_code == 0
    assert call(folder, "add", "crlf", "--stdin", given=f"{API_KEY}\n" + ed.replace("\n", "\r\n")).exit_code == 0
    stored = KeyFile(folder / ".keel", hidden()).read()
    assert stored["cb"].secret.get_secret_value() == coinbase
    assert stored["ed"].secret.get_secret_value() == stored["crlf"].secret.get_secret_value() == ed


LEAKED = "LEAKEDxLEAKEDxLEAKED"
REFUSED = [
    (["--exchange", "binnance"], "x\ny", "did you mean 'binance'"),
    ([], "", "stdin must hold"),
    ([], f"{LEAKED}\n", "stdin must hold"),
    ([], "x" * 20_000, "stdin must hold"),
    ([], json.dumps({"key": LEAKED}), "the secret is empty"),
    ([], json.dumps({"secret": LEAKED}), "API key is empty"),
    ([], f"{LEAKED}\n-----BEGIN PRIVATE KEY-----\n{LEAKED}\n-----END PRIVATE KEY-----\n", "damaged PEM"),
    ([], f"{LEAKED}\n-----BEGIN PUBLIC KEY-----\n{LEAKED}\n-----END PUBLIC KEY-----\n", "public key"),
    ([], f"{LEAKED}\n{LEAKED} {LEAKED}\n", "blanks"),
    ([], f"{LEAKED}\n{SECRET}\n", "the API key has 20 characters; Binance's have 64 letters and digits"),
    (["--exchange", "binanceusdm"], f"{API_KEY}\n{LEAKED}\n", "the secret has 20 characters; Binance's have 64"),
    ([], f"{API_KEY}\n{SECRET[:-1]}/\n", "the secret has 64 characters, not only letters and digits"),
    (["--exchange", "coinbase"], f"{LEAKED}\n{LEAKED}\n", "organizations/"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "given", "said"), REFUSED, ids=[one[2] + str(i) for i, one in enumerate(REFUSED)])
def test_a_bad_key_is_refused_before_anything_is_stored(
    folder: Path, options: list[str], given: str, said: str
) -> None:
    done = call(folder, "add", "main", "--stdin", *options, given=given)
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert LEAKED not in done.output
    assert not (folder / ".keel" / FILE).exists()


@pytest.mark.parametrize(("options", "given", "said"), REFUSED[2:], ids=[str(i) for i, _ in enumerate(REFUSED[2:])])
def test_the_traceback_of_a_refusal_shows_no_key(
    folder: Path, options: list[str], given: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
    with pytest.raises(BadInput, match=re.escape(said)) as refused:
        keys_command.add("main", options[-1] if options else "binance", True, False, False)
    text = shown(refused.value)
    assert "keys.py" in text and LEAKED not in text, text


def test_without_a_terminal_nothing_is_asked(folder: Path) -> None:
    done = call(folder, "add", "main")
    assert done.exit_code == 2 and "--stdin" in done.stderr


def test_a_person_types_everything_hidden_in_a_real_terminal(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("KEEL_")} | {"PYTHONPATH": str(ROOT)}
    answers = [API_KEY, SECRET, PASSPHRASE, PASSPHRASE]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        command = [sys.executable, "-m", "engine.cli.main", "keys", "add", "main"]
        os.execvpe(command[0], command, environment)
    said = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:
            break  # the terminal's other end is gone: the command ended
        said += part
        if said.rstrip().endswith(b":") and answers and said.count(b": ") == 5 - len(answers):
            os.write(terminal, answers.pop(0).encode() + b"\n")
    _, status = os.waitpid(pid, 0)
    text = said.decode()
    assert os.waitstatus_to_exitcode(status) == 0, text
    assert "stored: main" in text
    assert not any(word in text for word in (API_KEY, SECRET, PASSPHRASE))
    assert KeyFile(tmp_path / ".keel", hidden()).get("main").secret.get_secret_value() == SECRET


def test_a_real_process_shows_nothing_even_when_told_to_be_talkative(folder: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("KEEL_")}
    environment |= {"KEEL_PASSPHRASE_FILE": "p", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-X", "dev", "-m", "engine.cli.main", "--debug", "keys", "add", "main", "--stdin"]
    given = json.dumps({"key": API_KEY, "secret": SECRET})
    for code in (0, 2):  # stored, then refused because it is there already
        done = subprocess.run(command, input=given, capture_output=True, text=True, cwd=folder, env=environment)
        assert done.returncode == code, done.stderr
        assert not any(word in done.stdout + done.stderr for word in (API_KEY, SECRET, PASSPHRASE))
