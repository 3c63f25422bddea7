"""A registry as an agent meets it: documents by path over HTTP or HTTPS on ::1, with tags.

It can be told to misbehave in every way that registries do; `asked` has all that it was asked.
"""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import AF_INET6
from typing import Any

Json = dict[str, Any]
Reply = Callable[[BaseHTTPRequestHandler], None]
REL = "http://confine-project.eu/rel/"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHPxfzrhMzLKyVBkJhGWCcGmrVmGcOsvXcMrEFcbaAkm ann@pc"


@dataclass
class ARegistry:
    """`documents` by path below `/api`; `replies` by path go before them."""

    port: int = 0
    scheme: str = "http"
    documents: dict[str, Json] = field(default_factory=dict)
    replies: dict[str, Reply] = field(default_factory=dict)
    every: Reply | None = None
    asked: list[tuple[str, int]] = field(default_factory=list)

    @property
    def base(self) -> str:
        return f"{self.scheme}://[::1]:{self.port}/api/"

    def uri(self, path: str) -> Json:
        return {"uri": f"{self.base}{path}"}

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def answers(self, path: str, status: int, content: bytes = b"", **headers: str) -> None:
        """From now on exactly so."""

        def reply(handler: BaseHTTPRequestHandler) -> None:
            send(handler, status, content, **headers)

        self.replies[path] = reply

    def all_answer(self, status: int, content: bytes = b"", **headers: str) -> None:
        def reply(handler: BaseHTTPRequestHandler) -> None:
            send(handler, status, content, **headers)

        self.every = reply

    def populate(self, node: int = 1, arch: str = "x86_64", slivers: int = 1) -> None:
        """A node of a group with an administrator, and slivers of one slice."""
        group, one = self.uri("groups/2/"), self.uri(f"nodes/{node}/")
        listed = [self.uri(f"slivers/{30 + nr}/") for nr in range(slivers)]
        self.documents[f"nodes/{node}/"] = {
            **one,
            "id": node,
            "name": "roof",
            "description": "on the roof",
            "arch": arch,
            "properties": {"mast": "2 m"},
            "island": None,
            "group": group,
            "direct_ifaces": [],
            "boot_sn": 0,
            "set_state": "production",
            "tinc": None,
            "api": None,
            "slivers": listed,
            "resources": [],
        }
        resource = {"name": "vlan", "unit": "tags", "avail": 3000}
        self.documents[""] = {**self.uri(""), "testbed_resources": [resource]}
        ann, bob = self.uri("users/1/"), self.uri("users/2/")
        self.documents["groups/2/"] = {
            **group,
            "user_roles": [
                {"user": ann, "is_group_admin": False, "is_node_admin": True},
                {"user": bob, "is_group_admin": False, "is_node_admin": False},
            ],
        }
        self.documents["users/1/"] = {**ann, "id": 1, "is_active": True, "auth_tokens": [KEY]}
        self.documents["users/2/"] = {**bob, "id": 2, "is_active": True, "auth_tokens": []}
        for nr in range(slivers):
            self._sliver(30 + nr, one)

    def _sliver(self, pk: int, node: Json) -> None:
        slice_, template = self.uri("slices/12/"), self.uri("templates/3/")
        interface = {"nr": 0, "name": "priv", "type": "private", "parent_name": None}
        self.documents[f"slivers/{pk}/"] = {
            **self.uri(f"slivers/{pk}/"),
            "id": f"12@{node['uri'].rstrip('/').rpartition('/')[2]}",
            "slice": slice_,
            "node": node,
            "description": "",
            "properties": {},
            "template": None,
            "set_state": None,
            "data_uri": None,
            "data_sha256": None,
            "instance_sn": 0,
            "mgmt_net": None,
            "interfaces": [interface],
            "resources": [],
        }
        self.documents["slices/12/"] = {
            **slice_,
            "id": 12,
            "name": "mesh",
            "set_state": "deploy",
            "instance_sn": 0,
            "sliver_defaults": {"template": template, "set_state": "start"},
        }
        self.documents["templates/3/"] = {
            **template,
            "id": 3,
            "name": "debian",
            "description": "",
            "type": "debian",
            "node_archs": ["x86_64"],
            "is_active": True,
            "image_uri": "https://example.org/t.tgz",
            "image_sha256": "0" * 64,
        }


def send(
    handler: BaseHTTPRequestHandler, status: int, content: bytes = b"", **headers: str
) -> None:
    """Headers are written with `_` for `-`."""
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(content)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)


def hangs_up(handler: BaseHTTPRequestHandler) -> None:
    """Says nothing, as a registry that is killed."""
    handler.close_connection = True


def stops_in_the_middle(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"id": 1, "na')
    handler.close_connection = True


class _Server(ThreadingHTTPServer):
    address_family = AF_INET6
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asks may go away."""


def _handler_of(registry: ARegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            path = self.path.removeprefix("/api/")
            reply = registry.every or registry.replies.get(path) or document
            reply(self)

        def log_request(self, code: Any = "-", size: Any = "-") -> None:
            registry.asked.append((self.path.removeprefix("/api/"), int(code)))

        def log_message(self, *args: Any) -> None:
            """Nowhere."""

    def document(handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.removeprefix("/api/")
        if path not in registry.documents:
            send(handler, 404, b'{"detail": "Not found."}')
            return
        content = json.dumps(registry.documents[path]).encode()
        tag = f'"{hashlib.sha256(content).hexdigest()}"'
        link = f'<{registry.base}>; rel="{REL}registry/base"'
        if handler.headers.get("If-None-Match") == tag:
            send(handler, 304, ETag=tag)
        else:
            send(handler, 200, content, ETag=tag, Link=link)

    return Handler


@contextmanager
def a_registry(certificate: tuple[Path, Path] | None = None) -> Iterator[ARegistry]:
    """Serves until the end of the block; over TLS with a certificate and its key."""
    registry = ARegistry(scheme="https" if certificate else "http")
    server = _Server(("::1", 0), _handler_of(registry))
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    registry.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
