"""Telling systemd that a service is ready and alive: one datagram to the socket it names, no library."""

from __future__ import annotations

import socket


class Systemd:
    """`address` is what NOTIFY_SOCKET says; without one nothing is sent. What cannot be sent is lost."""

    def __init__(self, address: str | None) -> None:
        self._address = "\0" + address[1:] if address and address.startswith("@") else address or ""

    def ready(self) -> None:
        """The service runs."""
        self._send(b"READY=1")

    def alive(self, words: str = "") -> None:
        """It still does (WatchdogSec=); `words` are shown by ``systemctl status``."""
        self._send(b"WATCHDOG=1" + (b"\nSTATUS=" + words.replace("\n", " ").encode() if words else b""))

    def stopping(self) -> None:
        """It ends in order."""
        self._send(b"STOPPING=1")

    def _send(self, message: bytes) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as out:
                out.sendto(message, self._address)
        except OSError:
            pass
