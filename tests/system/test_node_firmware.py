"""A node written out as a whole system: what is in it, who can read it, and that it starts."""

from __future__ import annotations

import stat
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import IMAGES, Bed
from tests.system.plain_lxc import PlainLxc
from tests.system.trouble import paths_of
from vct.build import store
from vct.drivers import process

KEYS = [
    "/etc/vct/node/confine/api.key.pem",
    "/etc/vct/node/confine/tinc/rsa_key.priv",
    "/etc/vct/node/ssh_host_ed25519_key",
]
SECRET = "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n"  # noqa: S105
DEADLINE_S = 60


@pytest.fixture(scope="module")
def node(shared_bed: Bed) -> Bed:
    """A node with something for firmware."""
    shared_bed.init('nodes: {"0001": {}}')
    files = paths_of(shared_bed).node("0001").confine
    (files.tinc / "hosts").mkdir(parents=True)
    (files.tinc / "hosts" / "server").write_text("Subnet = fd65:fc41:c50f::2/128\n")
    for key in (files.api_key, files.tinc_key):
        key.write_text(SECRET)
        key.chmod(0o600)
    files.config.write_text("{}")
    shared_bed.sh("0001", "echo mine >/root/note")
    return shared_bed


def written(node: Bed, form: str, output: Path) -> Any:
    quick = () if form == "directory" else ("--compression-level", "1")
    words = ["node", "firmware", "0001", "--format", form, "--output", str(output), *quick]
    return node.json(*words)


def test_it_works(node: Bed, tmp_path: Path) -> None:
    told = written(node, "directory", tmp_path / "system")
    root = tmp_path / "system"
    assert (root / "etc/vct/node/confine/tinc/hosts/server").read_text().startswith("Subnet")
    assert (root / "etc/hostname").read_text() == "rd0001\n"
    assert (told["agent"], told["private_keys"]) == (True, KEYS)
    assert str((root / "etc/vct/node/inittab").readlink()) == "/etc/vct/inittab.full.agent"


def test_what_was_written_in_the_running_node_is_not_in_it(node: Bed, tmp_path: Path) -> None:
    written(node, "directory", tmp_path / "system")
    assert not (tmp_path / "system/root/note").exists()


def test_keys_are_for_root_alone(node: Bed, tmp_path: Path) -> None:
    written(node, "directory", tmp_path / "system")
    modes = [(tmp_path / f"system{key}").stat() for key in KEYS]
    assert [(stat.S_IMODE(found.st_mode), found.st_uid) for found in modes] == [(0o600, 0)] * 3


def test_the_images_own_files_are_as_they_were(node: Bed, tmp_path: Path) -> None:
    root = store.find_image(IMAGES, "node-debian", "amd64").path
    before = (root / "etc/vct/node/authorized_keys").stat()
    written(node, "directory", tmp_path / "system")
    after = (root / "etc/vct/node/authorized_keys").stat()
    assert (before.st_size, before.st_mtime) == (after.st_size, after.st_mtime)
    assert not (root / "etc/hostname").exists()
    assert not list((IMAGES / "tmp").glob("firmware-*"))


def test_a_tar_is_for_root_alone_and_says_what_it_holds(node: Bed, tmp_path: Path) -> None:
    file = tmp_path / "node.tar.zst"
    done = node.vct("node", "firmware", "0001", "--output", str(file), "--compression-level", "1")
    assert "it holds 3 private keys" in done.stdout
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    process.run(["zstd", "--quiet", "--decompress", str(file), "-o", str(tmp_path / "node.tar")])
    with tarfile.open(tmp_path / "node.tar") as archive:
        key = archive.getmember(f".{KEYS[0]}")
        assert (key.mode, key.uid) == (0o600, 0)


def test_a_name_that_is_taken_is_refused(node: Bed, tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    words = ("node", "firmware", "0001", "--output", str(tmp_path / "there"))
    assert node.vct(*words, check=False).code == 4
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_dry_run_says_where_and_writes_nothing(node: Bed, tmp_path: Path) -> None:
    planned = node.json("--dry-run", "node", "firmware", "0001", "--output", str(tmp_path))
    assert planned["path"] == f"{tmp_path}/{node.name}-rd0001-amd64.tar.zst"
    assert not list(tmp_path.iterdir())


def test_a_node_that_is_not_there_is_told(node: Bed) -> None:
    done = node.vct("node", "firmware", "0002", check=False)
    assert (done.code, "there is no node 0002" in done.stderr) == (2, True)


def test_it_starts_under_plain_lxc_with_its_agent(
    node: Bed, plain: PlainLxc, tmp_path: Path
) -> None:
    told = written(node, "lxc", tmp_path / "node-lxc")
    files = Path(told["path"])
    assert {stat.S_IMODE(file.stat().st_mode) for file in files.iterdir()} == {0o600}
    plain.create(
        "local", "--metadata", str(files / "meta.tar.xz"), "--fstree", str(files / "rootfs.tar.xz")
    )
    plain.start()
    wanted = ["[a]gent-service\\|[p]ace\\|[a]gent.py", "[s]shd"]
    deadline = time.monotonic() + DEADLINE_S
    for pattern in wanted:
        while plain.sh(f"ps ax | grep -q '{pattern}'").code:
            assert time.monotonic() < deadline, plain.sh("ps ax").stdout
            time.sleep(0.1)
    assert plain.sh("hostname").stdout == "rd0001\n"
    assert plain.sh("stat -c %a /etc/vct/node/confine/api.key.pem").stdout == "600\n"
    plain.sh("halt")
    assert plain.run("lxc-wait", "-s", "STOPPED", "-t", str(DEADLINE_S)).code == 0
