"""The relay's control socket: takes lines from clients, gives each line's answer back.

Clients may send rubbish, stop in the middle, or never read; none of it stops the relay. Nothing
here waits: the relay's epoll tells what is ready. Standard library only.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

CLIENTS = 16
REQUEST_OCTETS = 4 * 1024 * 1024  # thousands of links
BACKLOG = 8


@dataclass
class Client:
    """One connection: what has come in without a line's end, and what waits to go out."""

    connection: socket.socket
    heard: bytearray = field(default_factory=bytearray)
    to_say: bytearray = field(default_factory=bytearray)


class Control:
    """Serves a listening socket. `answer` turns a request's line into the answer's."""

    def __init__(
        self, epoll: select.epoll, listening: socket.socket, answer: Callable[[bytes], bytes]
    ) -> None:
        self._epoll = epoll
        self._listening = listening
        self._answer = answer
        self._clients: dict[int, Client] = {}
        listening.setblocking(False)
        epoll.register(listening.fileno(), select.EPOLLIN)

    def handle(self, descriptor: int, events: int) -> None:
        """Do what a descriptor is ready for."""
        if descriptor == self._listening.fileno():
            self._accept()
            return
        client = self._clients.get(descriptor)
        if client is None:
            return
        try:
            if events & select.EPOLLIN:
                self._hear(client)
            if client.to_say:
                sent = client.connection.send(client.to_say)
                del client.to_say[:sent]
        except BlockingIOError:
            pass
        except OSError:
            self._close(client)
            return
        if events & (select.EPOLLHUP | select.EPOLLERR):
            self._close(client)
        elif descriptor in self._clients:
            waits = select.EPOLLOUT if client.to_say else 0
            self._epoll.modify(descriptor, select.EPOLLIN | waits)

    def close(self) -> None:
        """Hang up on everybody and stop listening."""
        for client in list(self._clients.values()):
            self._close(client)
        self._epoll.unregister(self._listening.fileno())
        self._listening.close()

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError:  # it went away before we looked
            return
        if len(self._clients) >= CLIENTS:
            connection.close()
            return
        connection.setblocking(False)
        self._clients[connection.fileno()] = Client(connection)
        self._epoll.register(connection.fileno(), select.EPOLLIN)

    def _hear(self, client: Client) -> None:
        data = client.connection.recv(65_536)
        client.heard += data
        if not data or len(client.heard) > REQUEST_OCTETS or len(client.to_say) > REQUEST_OCTETS:
            self._close(client)
            return
        while (end := client.heard.find(b"\n")) >= 0:
            line = bytes(client.heard[:end])
            del client.heard[: end + 1]
            client.to_say += self._answer(line)

    def _close(self, client: Client) -> None:
        descriptor = client.connection.fileno()
        if descriptor in self._clients:
            del self._clients[descriptor]
            self._epoll.unregister(descriptor)
            client.connection.close()
        client.to_say.clear()
