"""A node as the poller meets it: an HTTP or HTTPS server on ::1, with answers by path."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6
from typing import Any

REFRESH = "/confine/api/node/ctl/refresh/"
Reply = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class NodeServer:
    """`replies` by path; what was asked is in `asked`."""

    port: int = 0
    scheme: str = "http"
    replies: dict[str, Reply] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def base(self) -> str:
        return f"{self.scheme}://[::1]:{self.port}/confine/api/"

    def says(self, path: str, content: bytes, *, status: int = 200, etag: str = "") -> None:
        """Answers so, and 304 to who has that tag."""

        def reply(handler: BaseHTTPRequestHandler) -> None:
            known = bool(etag) and handler.headers.get("If-None-Match") == etag
            handler.send_response(304 if known else status)
            if etag:
                handler.send_header("ETag", etag)
            handler.send_header("Content-Length", "0" if known else str(len(content)))
            handler.end_headers()
            handler.wfile.write(b"" if known else content)

        self.replies[f"/confine/api/{path}"] = reply

    def is_told(self, then: Callable[[], None] = lambda: None) -> None:
        """Takes being told that there are new orders."""

        def reply(handler: BaseHTTPRequestHandler) -> None:
            then()
            handler.send_response(200)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        self.replies[f"POST {REFRESH}"] = reply

    def hangs_up(self, path: str) -> None:
        """Says nothing."""

        def reply(handler: BaseHTTPRequestHandler) -> None:
            handler.close_connection = True

        self.replies[f"/confine/api/{path}"] = reply


def _nothing(handler: BaseHTTPRequestHandler) -> None:
    handler.send_error(404)


class _IPv6Server(ThreadingHTTPServer):
    address_family = AF_INET6
    daemon_threads = True
    request_queue_size = 128  # many may ask at once

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asks may go away."""


@contextmanager
def a_node_server(context: ssl.SSLContext | None = None) -> Iterator[NodeServer]:
    """Serves until the end of the block, on a port that the kernel gives."""
    node = NodeServer(scheme="https" if context else "http")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            node.asked.append(self.path)
            node.replies.get(self.path, _nothing)(self)

        def do_POST(self) -> None:
            node.asked.append(f"POST {self.path}")
            node.replies.get(f"POST {self.path}", _nothing)(self)

        def log_message(self, *args: Any) -> None:
            """Nowhere."""

    server = _IPv6Server(("::1", 0), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    node.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield node
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
