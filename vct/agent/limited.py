"""Reading from a socket within the time that is left, however slowly the other side drips.

A socket's own time limit begins anew with each octet. Used towards the registry and in the API.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from typing import Any


class LimitedReader(io.RawIOBase):
    """`left` gives the seconds that are left, or raises TimeoutError."""

    def __init__(self, sock: socket.socket, left: Callable[[], float]) -> None:
        super().__init__()
        self.sock, self.left = sock, left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.sock.settimeout(self.left())
        return self.sock.recv_into(buffer)


class LimitedSocket:
    """What http.client needs of a socket to read a response from it."""

    def __init__(self, sock: socket.socket, left: Callable[[], float]) -> None:
        self.sock, self.left = sock, left

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(LimitedReader(self.sock, self.left))
