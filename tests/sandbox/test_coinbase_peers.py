"""coinbase-advanced-py, in the venv of `make test`, with only URLs and keys changed: ES256 and Ed25519 keys."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import json
import os
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from running_coinbase import RunningCoinbase

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-clients" / "bin" / "python"
SCRIPT = Path(__file__).parent / "peers" / "coinbase_advanced.py"


@pytest.fixture(scope="module")
def running() -> Iterator[RunningCoinbase]:
    started = RunningCoinbase(accounts=2)
    yield started
    started.stop()


def certificate(folder: Path) -> Path:
    """A certificate of 127.0.0.1 by itself, with its key, in one PEM file."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = dt.datetime.now(dt.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - dt.timedelta(hours=1))
    builder = builder.not_valid_after(now + dt.timedelta(hours=1)).add_extension(address, critical=True)
    made = builder.sign(key, hashes.SHA256())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "local.pem"
    path.write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def tls(running: RunningCoinbase, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """host:port that speaks TLS and passes everything on to the sandbox, and the file that vouches for it."""
    path = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    host, _, port = running.host.partition(":")

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer), return_exceptions=True)

    server: Any = running.run(asyncio.start_server(forward, "127.0.0.1", 0, ssl=context))
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", path
    running.loop.call_soon_threadsafe(server.close)


@pytest.mark.parametrize(("kind", "account"), [("ES256", 0), ("EdDSA", 1)])
def test_coinbase_advanced_py_trades_and_listens(
    running: RunningCoinbase, tls: tuple[str, Path], kind: str, account: int
) -> None:
    if not PYTHON.exists():
        pytest.skip("no .venv-clients: make test installs the client this test runs")
    address, vouching = tls
    done = subprocess.run(
        [PYTHON, SCRIPT, kind, str(account)], input=json.dumps(running.line | {"tls": address}), text=True,
        capture_output=True, timeout=60,
        env=os.environ | {"REQUESTS_CA_BUNDLE": str(vouching), "NO_PROXY": "127.0.0.1"},
    )  # fmt: skip
    if "No module named 'coinbase" in done.stderr:
        pytest.skip("coinbase-advanced-py is not in .venv-clients: make test installs it")
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "rights": [True, True, False], "portfolio": True, "wallets": ["BTC", "ETH", "USD", "USDC"], "bought": "FILLED",
        "same": True, "open": ["BTC-USD", "BTC-USDC"], "cancelled": [True, True],
        "refused": "INVALID_LIMIT_PRICE_POST_ONLY", "fills": "TAKER", "preview": [], "fee": "0.001", "limit": "30",
        "levels": 3, "public": ["ETH-USD"], "candles": True, "trades": 4, "sold": "FILLED",
    }  # fmt: skip
