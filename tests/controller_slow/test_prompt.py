"""The service and a node on loopback: what is ordered over the API is soon seen to be done."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from tests.controller.a_node_server import NodeServer, a_node_server
from tests.controller_slow.live import STARTS_WITHIN_S
from tests.controller_slow.test_service import Service, serving, settings_in

CYCLE_S = 0.2  # what an agent takes to fetch its orders and to follow them


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """The service, as who may do everything calls it."""

    service: Service
    token: str

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        connection = HTTPConnection("127.0.0.1", self.service.port, timeout=STARTS_WITHIN_S)
        headers = {"Authorization": f"Token {self.token}", "Content-Type": "application/json"}
        text = None if body is None else json.dumps(body).encode()
        connection.request(method, path, text, headers)
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        assert answer.status < 300, said
        return json.loads(said)


def environment_of(home: Path) -> Mapping[str, str]:
    """That of a controller whose management network is loopback."""
    environment = settings_in(home)
    path = home / "controller.json"
    told = {**json.loads(path.read_text()), "mgmt_prefix": "::"}
    path.write_text(json.dumps(told))
    return environment


def account(environment: Mapping[str, str], *words: str) -> Any:
    argv = [sys.executable, "-m", "vct.controller", "account", *words]
    return json.loads(subprocess.run(argv, env=environment, check=True, capture_output=True).stdout)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    environment = environment_of(tmp_path)
    with serving(environment) as service:
        account(environment, "add", "admin", "--superuser")
        yield Registry(service=service, token=account(environment, "token", "admin")["token"])


def a_node(registry: Registry, node: NodeServer) -> str:
    """Its path in the API; it does what it is told a moment after it was told to look. It has been
    asked once: whom nobody ever heard of is not told."""
    group = registry.ask("POST", "/api/groups/", {"name": "g", "allow_nodes": True})
    made = registry.ask(
        "POST",
        "/api/nodes/",
        {
            "name": "n",
            "arch": "x86_64",
            "group": {"uri": group["uri"]},
            "mgmt_net": {"backend": "native"},
            "api": {"type": "node", "base_uri": node.base, "cert": None},
        },
    )
    path = f"/api/nodes/{made['id']}/"

    def says() -> None:
        state = registry.ask("GET", path)["set_state"]
        node.says("node/", json.dumps({"state": state}).encode())

    says()
    node.is_told(lambda: Timer(CYCLE_S, says).start())
    registry.ask("POST", f"{path}ctl/state/")
    wait_until(registry, path, "safe")
    return path


def wait_until(registry: Registry, path: str, state: str) -> None:
    """The API shows that the node is in this state."""
    deadline = time.monotonic() + STARTS_WITHIN_S
    while registry.ask("GET", f"{path}ctl/state/")["current"] != state:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_works(registry: Registry) -> None:
    with a_node_server() as node:
        path = a_node(registry, node)
        for word in ("production", "safe", "failure"):
            registry.ask("PATCH", path, {"set_state": word})
            wait_until(registry, path, word)
