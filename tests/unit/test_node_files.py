"""Keys of testbeds and nodes, and which files are behind loop devices."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_ssh_private_key,
)

from vct.drivers.disk_image import loop_device, loop_devices
from vct.drivers.files import make_key


def test_it_works(tmp_path: Path) -> None:
    place = tmp_path / "key"
    make_key(place, "rd0001")
    key = load_ssh_private_key(place.read_bytes(), password=None)
    assert isinstance(key, Ed25519PrivateKey)
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    assert place.with_suffix(".pub").read_text() == f"{public} rd0001\n"


def test_a_private_key_is_for_its_owner_only(tmp_path: Path) -> None:
    make_key(tmp_path / "key", "x")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_no_two_keys_are_the_same(tmp_path: Path) -> None:
    for name in ("one", "other"):
        make_key(tmp_path / name, "x")
    assert (tmp_path / "one").read_text() != (tmp_path / "other").read_text()


def test_nothing_but_the_pair_is_left(tmp_path: Path) -> None:
    make_key(tmp_path / "key", "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key", "key.pub"]


def test_a_file_that_no_loop_device_has_is_not_in_use(tmp_path: Path) -> None:
    (tmp_path / "disk.img").touch()
    assert loop_device(tmp_path / "disk.img") == ""
    assert loop_devices(tmp_path) == []
