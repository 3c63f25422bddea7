"""The real controller and the real agent, each in a namespace: enrolled, told, followed, seen.

Without containers, images and tinc: the management addresses are on the link between the two.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.controller_slow.live import manage
from tests.host.mesh import Machine, machines
from vct.controller import config
from vct.drivers import netns
from vct.wire import firmware

CONTROLLER, NODE = "fd65:fc41:c50f::2", "fd65:fc41:c50f:1::2"
PATIENCE_S = 60.0
POLL_S = 600  # by itself the agent would not notice within the test's patience
AGENT = """
import sys
from pathlib import Path
from vct.agent.main import main
from vct.agent.places import Places
home = Path(sys.argv[1])
main(Places(home / "firmware", home / "persist", home / "log", home / "run", version=home / "v"))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """The controller, as its administrator calls it from its own machine."""

    machine: Machine
    token: str = ""

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Token {self.token}"} if self.token else {}
        text = None if body is None else json.dumps(body)
        connection = HTTPConnection(CONTROLLER, 80, timeout=PATIENCE_S)
        with netns.entered(f"/proc/{self.machine.pid}/ns/net"):
            connection.connect()
        connection.request(method, path, text, {**headers, "Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        assert answer.status < 300, said
        return json.loads(said) if said else None

    def is_there(self) -> bool:
        try:
            return bool(self.ask("GET", "/health/"))
        except OSError:
            return False

    def state(self) -> str:
        said: str = self.ask("GET", "/api/nodes/1/ctl/state/")["current"]
        return said

    def sees(self, state: str) -> bool:
        return within_patience(lambda: self.state() == state)


def within_patience(true: Any) -> bool:
    end = time.monotonic() + PATIENCE_S
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def controller_in(home: Path) -> Mapping[str, str]:
    """The environment of a controller that is in the management network without tinc."""
    (home / "static").mkdir(parents=True)
    path = home / "controller.json"
    config.write(config.generated(home, hosts=(f"[{CONTROLLER}]",)), path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "mgmt_backend": "native"}))
    names = {config.VARIABLE: str(path), "DJANGO_SETTINGS_MODULE": "vct.controller.settings"}
    return {**os.environ, **names}


def enrol(registry: Registry, directory: Path) -> None:
    """Registers the node and writes its firmware, as `vct init` does."""
    group = registry.ask("POST", "/api/groups/", {"name": "g", "allow_nodes": True})
    node = {"id": 1, "name": "n", "arch": os.uname().machine, "group": {"uri": group["uri"]}}
    registry.ask("POST", "/api/nodes/", {**node, "mgmt_net": {"backend": "native"}})
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NODE)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    csr = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
    identity: dict[str, Any] = {"tinc_pubkey": None, "tinc_addresses": [], "mgmt_backend": "native"}
    given = registry.ask("POST", "/api/nodes/1/ctl/enrol/", {**identity, "api_csr": csr})
    directory.mkdir(parents=True)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    for name, text in {**given["files"], firmware.API_KEY: secret}.items():
        (directory / name).touch(0o600)
        (directory / name).write_text(text)
    told = {**given["config"], "agent": {"poll_s": POLL_S}}
    (directory / firmware.CONFIG).write_text(json.dumps(told))


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """With one node, whose agent runs."""
    environment = controller_in(tmp_path / "controller")
    with ExitStack() as undo:
        here, there = undo.enter_context(machines(2))
        for machine, link, address in ((here, "eth1", CONTROLLER), (there, "eth0", NODE)):
            machine.run(*f"ip -6 address add {address}/48 dev {link} nodad".split())

        def start(machine: Machine, *argv: str) -> None:
            log = undo.enter_context((tmp_path / "log").open("ab"))
            command = machine.command(sys.executable, *argv)
            one = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            undo.callback(one.wait, PATIENCE_S)
            undo.callback(one.terminate)

        start(here, "-m", "vct.controller", "service", "--bind", "[::]:80")
        found = Registry(machine=here)
        assert within_patience(found.is_there), (tmp_path / "log").read_text()
        found = Registry(machine=here, token=token_of(environment))
        enrol(found, tmp_path / "node" / "firmware")
        start(there, "-c", AGENT, str(tmp_path / "node"))
        yield found


def token_of(environment: Mapping[str, str]) -> str:
    manage(environment, "account", "add", "admin", "--superuser")
    argv = [sys.executable, "-m", "vct.controller", "account", "token", "admin"]
    ended = subprocess.run(argv, env=environment, check=True, capture_output=True)
    token: str = json.loads(ended.stdout)["token"]
    return token


def test_it_works(registry: Registry) -> None:
    assert registry.sees("safe")
    for state in ("production", "safe", "production", "failure"):
        registry.ask("PATCH", "/api/nodes/1/", {"set_state": state})
        assert registry.sees(state), state
    assert registry.ask("GET", "/api/nodes/1/ctl/state/")["verified"]
