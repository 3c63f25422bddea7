"""Published images, got and started by the genuine clients of LXC and LXD, without vct.

Servers are on loopback; containers in directories of the tests' own.
"""

from __future__ import annotations

import functools
import json
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.system.conftest import IMAGES, VCT
from tests.system.exchange import Shop, digest_of, is_untouched, make_shop
from tests.system.plain_lxc import PlainLxc
from vct.build import store
from vct.drivers import packages, process

DEADLINE_S = 120
CLIENTS = {"wget": "wget", "openssl": "openssl", "lxc": "lxd-client"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    root = tmp_path_factory.mktemp("exchange")
    root.chmod(0o755)
    return make_shop(root)


# --- servers -------------------------------------------------------------------------------------


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class'
        pass


@dataclass(frozen=True)
class Server:
    """An image server on loopback, by https and by http."""

    root: Path
    https_port: int
    http: str
    certificate: Path


@pytest.fixture(scope="module")
def server(shop: Shop) -> Iterator[Server]:
    """The tiny image and the node image, published; what the clients need is installed."""
    missing = [package for name, package in CLIENTS.items() if process.find(name) is None]
    if missing:
        packages.install(missing)
    process.run([*VCT, "build", "node-debian"], env={"VCT_IMAGES": str(IMAGES)}, timeout_s=1200)
    www = shop.root / "www"
    for images, name in ((shop.origin, "tiny"), (IMAGES, "node-debian")):
        shop.json(
            images, "image", "publish", str(www), name, "--arch", "amd64",
            "--compression-level", "0",
        )  # fmt: skip
    key, certificate = shop.root / "key.pem", shop.root / "certificate.pem"
    process.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)],
    )  # fmt: skip
    handler = functools.partial(Quiet, directory=str(www))
    plain = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    secure = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    threads = [Thread(target=one.serve_forever) for one in (plain, secure)]
    for thread in threads:
        thread.start()
    try:
        yield Server(
            root=www,
            https_port=secure.server_address[1],
            http=f"http://127.0.0.1:{plain.server_address[1]}",
            certificate=certificate,
        )
    finally:
        for one in (plain, secure):
            one.shutdown()
            one.server_close()
        for thread in threads:
            thread.join()


def test_it_works(shop: Shop, server: Server) -> None:
    told = shop.json(shop.other, "image", "import", server.http, "tiny", "--name", "served")
    image = store.find_image(shop.other, "served", "amd64")
    assert digest_of(image) == digest_of(store.find_image(shop.origin, "tiny", "amd64"))
    assert told["source"].startswith(f"{server.http}/images/vct/tiny/amd64/default/")


def test_a_server_that_sends_another_file_is_found_out(shop: Shop, server: Server) -> None:
    (squashfs,) = server.root.glob("images/vct/tiny/amd64/default/*/rootfs.squashfs")
    honest = squashfs.read_bytes()
    try:
        squashfs.write_bytes(honest[:-1] + bytes([honest[-1] ^ 1]))
        done = shop.vct(shop.other, "image", "import", server.http, "tiny", "--name", "evil")
    finally:
        squashfs.write_bytes(honest)
    assert done.code == 1
    assert "has the sha256" in done.stderr
    assert is_untouched(shop, "evil")


def test_an_unknown_image_is_told_with_those_that_are_there(shop: Shop, server: Server) -> None:
    done = shop.vct(shop.other, "image", "import", server.http, "tinny")
    assert done.code == 1
    assert "tiny for amd64" in done.stderr


def test_lxds_client_lists_and_gets_it(server: Server, tmp_path: Path) -> None:
    environment = {
        "LXD_CONF": str(tmp_path),
        "HOME": str(tmp_path),
        "SSL_CERT_FILE": str(server.certificate),
    }

    def lxc(*arguments: str) -> str:
        return process.run(["lxc", *arguments], env=environment, timeout_s=120).stdout

    url = f"https://localhost:{server.https_port}"
    lxc("remote", "add", "vct", url, "--protocol", "simplestreams")
    listed = json.loads(lxc("image", "list", "vct:", "--format", "json"))
    names = {alias["name"] for one in listed for alias in one["aliases"]}
    assert len(listed) == 2
    assert {"tiny", "node-debian"} <= names
    info = lxc("image", "info", "vct:tiny")
    (tmp_path / "got").mkdir()
    lxc("image", "export", "vct:tiny", str(tmp_path / "got"))
    both = b"".join(
        next((tmp_path / "got").glob(name)).read_bytes() for name in ("*.tar.xz", "*.squashfs")
    )
    (tmp_path / "both").write_bytes(both)
    fingerprint = process.run(["sha256sum", str(tmp_path / "both")]).stdout.split()[0]
    assert f"Fingerprint: {fingerprint}" in info


# --- plain LXC -----------------------------------------------------------------------------------


def boots_and_halts(lxc: PlainLxc, arch: str) -> None:
    lxc.start()
    deadline = time.monotonic() + DEADLINE_S
    while not lxc.is_up():
        assert time.monotonic() < deadline, lxc.sh("ps ax").stdout
        time.sleep(0.1)
    assert lxc.sh("dpkg --print-architecture").stdout.strip() == arch
    assert lxc.sh("cat /proc/1/comm").stdout.strip() == "init"
    assert lxc.sh("ls /sys/class/net").stdout.split() == ["lo"]
    lxc.sh("halt")
    assert lxc.run("lxc-wait", "-s", "STOPPED", "-t", str(DEADLINE_S)).code == 0


def test_the_node_image_starts_under_plain_lxc_from_its_template_local(
    shop: Shop, plain: PlainLxc, server: Server
) -> None:
    export = shop.root / "node-lxc"
    shop.json(
        IMAGES, "image", "export", "node-debian", "--format", "lxc", "--output", str(export),
        "--compression-level", "0",
    )  # fmt: skip
    plain.create(
        "local", "--metadata", str(export / "meta.tar.xz"),
        "--fstree", str(export / "rootfs.tar.xz"),
    )  # fmt: skip
    boots_and_halts(plain, "amd64")


def test_the_node_image_starts_under_plain_lxc_from_a_server(
    plain: PlainLxc, server: Server, tmp_path: Path
) -> None:
    wgetrc = tmp_path / "wgetrc"
    wgetrc.write_text(f"ca_certificate = {server.certificate}\n")
    environment = {"WGETRC": str(wgetrc), "LXC_CACHE_PATH": str(tmp_path / "cache")}
    plain.create(
        "download", "--server", f"localhost:{server.https_port}",
        "-d", "vct", "-r", "node-debian", "-a", "amd64", env=environment,
    )  # fmt: skip
    boots_and_halts(plain, "amd64")
    assert [path.name for path in (tmp_path / "cache" / "download").iterdir()] == ["vct"]
