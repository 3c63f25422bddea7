"""`vct tinc hosts`: what a controller says becomes host files, and nothing else does."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address, IPv6Network
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from vct.cli.main import cli
from vct.drivers.rest import Rest, RestError
from vct.errors import RefusedError, UsageError
from vct.verbs import tinc_hosts
from vct.wire import tinc

KEY = (
    rsa.generate_private_key(public_exponent=65537, key_size=2048)
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
PREFIX = "fd65:fc41:c50f::/48"
ADDRESSES = {
    "server": "fd65:fc41:c50f::2",
    "node": "fd65:fc41:c50f:a12::2",
    "host": "fd65:fc41:c50f:0:2000::7",
    "gateway": "fd65:fc41:c50f:0:1::3",
}
IDS = {"server": 2, "node": 0xA12, "host": 7, "gateway": 3}
Document = Any


def thing(kind: str, **tinc_members: Any) -> dict[str, Any]:
    """As the API has it."""
    name = "server" if kind == "server" else f"{kind}_{IDS[kind]}"
    told = {"name": name, "pubkey": KEY, "addresses": [], **tinc_members}
    return {"id": IDS[kind], "mgmt_net": {"addr": ADDRESSES[kind]}, "tinc": told}


class Controller:
    """Answers with documents by path; None is 404, a tuple is (status, body, headers)."""

    def __init__(self) -> None:
        place = {"addr": "10.241.0.254", "port": 655, "island": None}
        self.paths: dict[str, Document] = {
            "": {"testbed_params": {"mgmt_ipv6_prefix": PREFIX}},
            "servers/": [thing("server", addresses=[place])],
            "nodes/": [thing("node"), {"id": 3, "tinc": None}],
            "hosts/": [thing("host")],
        }
        self.asked: list[tuple[str, str]] = []
        self.base = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.removeprefix("/api/")
        self.asked.append((path, handler.headers.get("Authorization", "")))
        found = self.paths.get(path, self.paths.get(path.partition("?")[0]))
        status, body, headers = (200, found, {}) if not isinstance(found, tuple) else found
        if found is None:
            status, body = 404, {"detail": "Not found."}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)


@contextmanager
def serving(controller: Controller, tls: ssl.SSLContext | None = None) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            controller.answer(self)

        def log_message(self, *args: Any) -> None:
            """Nowhere."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    controller.base = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}/api/"
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def controller() -> Iterator[Controller]:
    controller = Controller()
    with serving(controller):
        yield controller


def fetched(controller: Controller) -> tinc_hosts.Fetched:
    return tinc_hosts.fetch(Rest(base=controller.base))


def run(controller: Controller, directory: Path, *more: str) -> Result:
    return CliRunner().invoke(cli, ["tinc", "hosts", controller.base, "-o", str(directory), *more])


def refused(controller: Controller) -> str:
    (one,) = fetched(controller).refused
    return one.reason


def test_it_works(controller: Controller, tmp_path: Path) -> None:
    result = run(controller, tmp_path / "hosts")
    assert result.exit_code == 0, result.output
    assert "3 written, 0 removed, 0 unchanged, 1 without a key" in result.stdout
    read = tinc.parse_host((tmp_path / "hosts" / "server").read_text())
    assert read.addresses == (tinc.Address(addr="10.241.0.254", port=655),)
    assert read.subnets == (IPv6Network("fd65:fc41:c50f::2/128"),)
    node = (tmp_path / "hosts" / "node_2578").read_text()
    assert node == f"Subnet = fd65:fc41:c50f:a12:0:0:0:0/64\n\n{KEY}"
    assert (tmp_path / "hosts" / "host_7").stat().st_mode & 0o777 == 0o644


def test_a_second_run_writes_nothing(controller: Controller, tmp_path: Path) -> None:
    run(controller, tmp_path)
    before = {path.name: path.stat().st_ino for path in tmp_path.iterdir()}
    result = run(controller, tmp_path, "--json")
    assert json.loads(result.stdout)["written"] == []
    assert {path.name: path.stat().st_ino for path in tmp_path.iterdir()} == before


def test_what_the_controller_forgot_is_removed(controller: Controller, tmp_path: Path) -> None:
    run(controller, tmp_path)
    controller.paths["hosts/"] = []
    assert json.loads(run(controller, tmp_path, "--json").stdout)["removed"] == ["host_7"]
    assert not (tmp_path / "host_7").exists()


def test_files_that_others_wrote_are_left_alone(controller: Controller, tmp_path: Path) -> None:
    for name in ("node_2578", "mine"):
        (tmp_path / name).write_text("Port = 7\n")
    for _ in range(2):
        found = json.loads(run(controller, tmp_path, "--json").stdout)
        assert found["kept"] == ["node_2578"]
    controller.paths["nodes/"] = []
    run(controller, tmp_path)
    assert (tmp_path / "mine").read_text() == (tmp_path / "node_2578").read_text() == "Port = 7\n"


def test_a_dry_run_changes_nothing(controller: Controller, tmp_path: Path) -> None:
    result = run(controller, tmp_path / "new", "--dry-run")
    assert "3 would be written" in result.stdout
    assert not (tmp_path / "new").exists()


def test_lists_in_pages_are_read_to_their_end(controller: Controller) -> None:
    link = f'<{controller.base}>; rel="first", <{controller.base}nodes/?page=2>; rel="next"'
    other = {**thing("node", name="node_1"), "id": 1}
    other["mgmt_net"] = {"addr": "fd65:fc41:c50f:1::2"}
    controller.paths["nodes/?per_page=200"] = (200, [thing("node")], {"Link": link})
    controller.paths["nodes/?page=2"] = [other]
    assert {"node_1", "node_2578"} < fetched(controller).files.keys()


def test_pages_without_an_end_are_an_error(controller: Controller) -> None:
    link = f'<{controller.base}nodes/?page=2>; rel="next"'
    controller.paths["nodes/"] = (200, [], {"Link": link})
    with pytest.raises(RestError, match="no end"):
        fetched(controller)


def test_no_token_goes_elsewhere(controller: Controller) -> None:
    controller.paths["nodes/"] = (200, [], {"Link": '<http://other.example/x>; rel="next"'})
    with pytest.raises(RestError, match="elsewhere"):
        fetched(controller)


def test_the_older_dialect_is_read_as_well(controller: Controller) -> None:
    server = controller.paths.pop("servers/")[0]
    del server["id"]
    controller.paths |= {"": {}, "server/": server, "gateways/": [thing("gateway")]}
    assert fetched(controller).files.keys() == {"server", "node_2578", "host_7", "gateway_3"}


def test_gateways_are_read_from_the_older_dialect_beside_the_newer(controller: Controller) -> None:
    controller.paths["v0/gateways/"] = [thing("gateway")]
    assert "fd65:fc41:c50f:0:1:0:0:3/128" in fetched(controller).files["gateway_3"]


@pytest.mark.parametrize(
    ("member", "value", "words"),
    [
        ("name", "../../etc/cron", "letters, digits"),
        ("name", "node_2578\nConnectTo = evil", "letters, digits"),
        ("name", "server", "not node_2578"),
        ("name", "node_1", "not node_2578"),
        ("name", None, "name is not a text"),
        ("pubkey", "garbage", "public key"),
        ("pubkey", KEY + "Subnet = ::/0\n", "public key"),
        ("pubkey", 7, "pubkey is not a text"),
        ("addresses", [{"addr": "10.0.0.1\nSubnet = ::/0", "port": 655}], "no IP address"),
        ("addresses", [{"addr": "10.0.0.1", "port": "655"}], "not a number"),
        ("addresses", [{"addr": "10.0.0.1", "port": 0}], "no port"),
        ("addresses", ["10.0.0.1"], "not a text"),
        ("addresses", 7, "not iterable"),
    ],
)
def test_what_is_not_as_it_should_be_is_refused(
    controller: Controller, member: str, value: object, words: str
) -> None:
    controller.paths["nodes/"] = [thing("node", **{member: value})]
    assert words in refused(controller)
    assert fetched(controller).files.keys() == {"server", "host_7"}


@pytest.mark.parametrize(
    ("member", "value", "words"),
    [
        ("id", "2578", "is no id"),
        ("id", 10**40, "10000"),
        ("id", True, "is no id"),
        ("mgmt_net", {"addr": "fd65:fc41:c50f:1::2"}, "its management address"),
        ("mgmt_net", {"addr": "10.0.0.1"}, "10.0.0.1"),
        ("mgmt_net", None, "addr is not a text"),
        ("tinc", "yes", "not an object"),
    ],
)
def test_a_thing_with_another_s_address_is_refused(
    controller: Controller, member: str, value: object, words: str
) -> None:
    controller.paths["nodes/"] = [{**thing("node"), member: value}]
    assert words in refused(controller)


def test_two_of_one_name_are_one(controller: Controller) -> None:
    controller.paths["nodes/"] = [thing("node"), thing("node")]
    assert "two of the name" in refused(controller)


def test_what_was_refused_is_said_and_the_rest_is_written(
    controller: Controller, tmp_path: Path
) -> None:
    controller.paths["nodes/"] = [thing("node", pubkey="garbage")]
    result = run(controller, tmp_path)
    assert result.exit_code == 1
    assert "refused: node 2578: this is not one public key in PEM" in result.stdout
    assert (tmp_path / "server").exists()


@pytest.mark.parametrize(
    ("path", "answer", "words", "hint"),
    [
        ("nodes/", None, "HTTP 404", "/api/"),
        ("", (200, b"<html>", {}), "not JSON", "/api/"),
        ("hosts/", (200, {"detail": "x"}, {}), "not a list", "/api/"),
        ("hosts/", (401, {}, {}), "HTTP 401", "--token"),
        ("hosts/", (503, {}, {}), "HTTP 503", "log"),
        ("", (301, {}, {"Location": "https://x/api/"}), "HTTP 301", "https://x/api/"),
        ("nodes/", (200, b"[" * 100_000, {}), "not JSON", "/api/"),
    ],
)
def test_an_answer_of_no_use_changes_nothing(
    controller: Controller, tmp_path: Path, path: str, answer: Any, words: str, hint: str
) -> None:
    run(controller, tmp_path)
    controller.paths[path] = answer
    with pytest.raises(RestError, match=words) as caught:
        fetched(controller)
    assert hint in caught.value.hint
    assert len(list(tmp_path.iterdir())) == 4


def test_nobody_at_home_is_said(tmp_path: Path) -> None:
    controller = Controller()
    with serving(controller):
        pass
    with pytest.raises(RestError, match="refused") as caught:
        fetched(controller)
    assert "is it up" in caught.value.hint


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Of 127.0.0.1, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "controller")])
    address = x509.IPAddress(IPv4Address("127.0.0.1"))
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1))
    builder = builder.not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    made = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    file = tmp_path / "certificate.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(made + secret)
    return file


def test_a_certificate_is_verified_by_who_signed_it(certificate: Path, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    controller = Controller()
    with serving(controller, context):
        with pytest.raises(RestError, match="TLS: self") as caught:
            fetched(controller)
        result = run(controller, tmp_path / "hosts", "--ca", str(certificate))
    assert "--ca" in caught.value.hint
    assert result.exit_code == 0, result.output


def test_a_file_without_a_certificate_is_a_usage_error(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("nothing")
    with pytest.raises(UsageError, match="no certificate"):
        Rest(base="https://127.0.0.1:1/", ca=file).document()


def test_a_port_without_tls_is_said(controller: Controller) -> None:
    with pytest.raises(RestError, match="TLS") as caught:
        tinc_hosts.fetch(Rest(base=controller.base.replace("http:", "https:")))
    assert "http:" in caught.value.hint


@pytest.mark.parametrize("base", ["", "controller", "ftp://x/", "http://", "http://u:p@x/", "x?y"])
def test_what_is_no_base_is_a_usage_error(base: str) -> None:
    with pytest.raises(UsageError, match="not the URI"):
        Rest(base=base)


def test_the_token_is_sent(controller: Controller, tmp_path: Path) -> None:
    run(controller, tmp_path, "--token", "0123")
    assert {token for _, token in controller.asked} == {"Token 0123"}


def test_the_directory_of_another_controller_is_refused(
    controller: Controller, tmp_path: Path
) -> None:
    run(controller, tmp_path)
    other = Rest(base="http://other.example/api/")
    with pytest.raises(RefusedError, match="has the hosts of"):
        tinc_hosts.keep(other, tmp_path, fetched(controller))


@pytest.mark.parametrize("mark", ["{", "[]", '{"format": "other"}', '{"files": ["../x"]}'])
def test_a_mark_that_cannot_be_read_is_refused(
    controller: Controller, tmp_path: Path, mark: str
) -> None:
    (tmp_path / tinc_hosts.MARK).write_text(mark)
    with pytest.raises(RefusedError, match="cannot be read"):
        tinc_hosts.keep(Rest(base=controller.base), tmp_path, fetched(controller))
