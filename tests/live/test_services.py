"""What systemd and compose are told: datagrams, units, healthchecks."""

from __future__ import annotations

import configparser
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.runtime.systemd import Systemd

ROOT = Path(__file__).resolve().parents[2]
UNITS = ("keel-engine", "keel-watchdog")


@pytest.mark.parametrize("form", ["path", "abstract"])
def test_systemd_hears_datagrams(tmp_path: Path, form: str) -> None:
    shown = str(tmp_path / "notify") if form == "path" else f"@keel-test-{tmp_path.name}-{id(tmp_path)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(shown.replace("@", "\0", 1) if form == "abstract" else shown)
        ear.settimeout(5)
        systemd = Systemd(shown)
        systemd.ready()
        systemd.alive("watching x\nREADY=1")
        systemd.stopping()
        heard = [ear.recv(1024) for _ in range(3)]
    assert heard == [b"READY=1", b"WATCHDOG=1\nSTATUS=watching x READY=1", b"STOPPING=1"]
    systemd.alive()  # nobody listens any more: lost, not raised
    Systemd(None).ready()


@pytest.mark.parametrize("name", UNITS)
def test_the_units_are_watched_and_start_what_there_is(name: str) -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(ROOT / "deployments" / "systemd" / f"{name}.service")
    service = unit["Service"]
    assert service["Type"] == "notify" and int(service["WatchdogSec"]) <= 30
    command = {"keel-engine": "up", "keel-watchdog": "watchdog"}[name]
    assert service["ExecStart"] == f"/srv/keel/.venv/bin/trading-cli {command}"
    assert service["UMask"] == "0077" and service["NoNewPrivileges"] == "yes" and "User" in service
    assert "BindsTo" not in unit["Unit"] and "PartOf" not in unit["Unit"], "the watchdog outlives the engine"


def test_compose_watches_both_and_opens_nothing() -> None:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    services = found["services"]
    assert services["watchdog"]["healthcheck"]["test"] == ["CMD", "trading-cli", "watchdog", "--check"]
    assert services["watchdog"]["restart"] == "always" and services["watchdog"]["command"] == ["watchdog"]
    assert services["engine"]["environment"]["KEEL_WATCHDOG__ENABLED"] == "false"
    for name, service in services.items():
        assert "healthcheck" in service, name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source.startswith("./") or source in found["volumes"], volume
        for needed in service.get("depends_on", {}):
            assert needed in services
        build = service.get("build")
        assert build is None or (ROOT / build["dockerfile"]).is_file()
    assert services["engine"]["volumes"][0] == services["watchdog"]["volumes"][0], "one home"
