"""Two doors to the API, plain and TLS, on all addresses of both families: wsgiref, few threads.

A door waits for callers in a thread of its own and gives each a thread, of which there are few in
all and fewer for one caller; who dawdles is cut off. Certificate and key are read when they change.
"""

from __future__ import annotations

import io
import socket
import ssl
import threading
import time
from collections import Counter
from pathlib import Path
from socketserver import TCPServer
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from vct.agent.api import Api
from vct.agent.limited import LimitedReader
from vct.agent.problems import Problem, of_system, sentence
from vct.wire.firmware import API_CERT, API_KEY

REQUEST_S = 20.0
CALLERS_MAX, OF_ONE_MAX = 16, 6
PORTS = (80, 443)
PLAIN, TLS = "plain", "tls"
FOREVER_S = 86_400.0


class Certificate:
    """The node's TLS certificate and key, as the files are now."""

    def __init__(self, firmware: Path) -> None:
        self._files = (firmware / API_CERT, firmware / API_KEY)
        self._seen: tuple[tuple[int, int, int], ...] = ()
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None
        self.problem: Problem | None = None

    def context(self) -> ssl.SSLContext | None:
        """None when there is none that can be used; `problem` says why."""
        with self._lock:
            self._read()
            return self._context

    def _read(self) -> None:
        try:
            stats = [path.stat() for path in self._files]
            seen = tuple((one.st_mtime_ns, one.st_ino, one.st_size) for one in stats)
            if seen == self._seen:
                return
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self._files)
            self._context, self._seen, self.problem = context, seen, None
        except OSError as error:  # ssl.SSLError too
            words = error.strerror or str(error)
            self._context, self._seen = None, ()
            self.problem = Problem(
                "/api/cert",
                sentence(f"the API has no TLS: {words}", "write the firmware anew: vct init"),
            )


class _Request(WSGIRequestHandler):
    """One request, read within REQUEST_S."""

    server_version, sys_version = "vct-agent", ""

    def setup(self) -> None:
        self.connection = self.request
        ends = time.monotonic() + REQUEST_S

        def left() -> float:
            if time.monotonic() >= ends:
                raise TimeoutError
            return ends - time.monotonic()

        self.connection.settimeout(REQUEST_S)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # head, then body
        reader: Any = io.BufferedReader(LimitedReader(self.connection, left))
        self.rfile, self.wfile = reader, self.connection.makefile("wb", 0)

    def get_environ(self) -> dict[str, Any]:
        found: dict[str, Any] = super().get_environ()
        if isinstance(self.connection, ssl.SSLSocket):
            found["HTTPS"] = "on"
        return found

    def log_message(self, *args: Any) -> None:
        """Nowhere: every poll would be a line."""


class _Callers:
    """Who is being served at all doors: few in all, and fewer of one address."""

    def __init__(self) -> None:
        self._lock, self._by_address = threading.Lock(), Counter[str]()

    def enters(self, address: str) -> bool:
        with self._lock:
            full = self._by_address.total() >= CALLERS_MAX
            if full or self._by_address[address] >= OF_ONE_MAX:
                return False
            self._by_address[address] += 1
            return True

    def leaves(self, address: str) -> None:
        with self._lock:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]


class Door(WSGIServer):
    """A port. Raises OSError when it is taken."""

    address_family = socket.AF_INET6
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(
        self, port: int, api: Api, callers: _Callers, certificate: Certificate | None
    ) -> None:
        self._callers, self._certificate = callers, certificate
        super().__init__(("::", port), _Request)
        self.set_app(api)

    def server_bind(self) -> None:
        """Both families; and without asking the DNS who we are, as the original does."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "node", int(self.server_address[1])
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        address = str(client_address[0])
        if not self._callers.enters(address):
            self.shutdown_request(request)
            return
        arguments = (request, client_address, address)
        try:
            threading.Thread(target=self._serve, args=arguments, daemon=True).start()
        except RuntimeError:  # no more threads
            self._callers.leaves(address)
            self.shutdown_request(request)

    def _serve(self, request: Any, client_address: Any, address: str) -> None:
        try:
            request.settimeout(REQUEST_S)
            if self._certificate is not None:
                context = self._certificate.context()
                if context is None:
                    return
                request = context.wrap_socket(request, server_side=True)
            self.finish_request(request, client_address)
        except (OSError, ValueError):  # the caller's affair: no TLS, gone, too slow
            return
        finally:
            self.shutdown_request(request)
            self._callers.leaves(address)


class Doors:
    """Both ports, each opened as soon as it can be."""

    def __init__(self, api: Api, firmware: Path, ports: tuple[int, int] = PORTS) -> None:
        self.certificate = Certificate(firmware)
        self._api, self._callers = api, _Callers()
        self._wanted = {PLAIN: (ports[0], None), TLS: (ports[1], self.certificate)}
        self.opened: dict[str, Door] = {}

    def open(self) -> tuple[Problem, ...]:
        """Open what is not open yet; what could not be, and what TLS lacks."""
        problems = []
        for name in self._wanted.keys() - self.opened.keys():
            port, certificate = self._wanted[name]
            try:
                door = Door(port, self._api, self._callers, certificate)
            except OSError as error:
                problems.append(of_system(error, f"port {port} of the API cannot be opened"))
                continue
            self.opened[name] = door
            serve = (FOREVER_S,)  # nothing but callers wakes it
            threading.Thread(target=door.serve_forever, args=serve, daemon=True).start()
        self.certificate.context()
        if self.certificate.problem:
            problems.append(self.certificate.problem)
        return tuple(problems)
