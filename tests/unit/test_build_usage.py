"""Who uses an image: what other processes have mounted, and what containers are configured with."""

from __future__ import annotations

from pathlib import Path

import pytest

from vct.build import usage

ONE, TWO = "1" * 64, "2" * 64


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Three processes; two of them see the same mounts."""
    mounts = (
        (10, "a", f"overlay rw,lowerdir=/images/store/{ONE}/root,upperdir=/d"),
        (11, "a", "the same namespace as process 10, not read"),
        (12, "b", "ext4 /dev/vda rw"),
    )
    (tmp_path / "self").mkdir()
    for pid, namespace, options in mounts:
        (tmp_path / str(pid) / "ns").mkdir(parents=True)
        (tmp_path / "ns" / namespace).mkdir(parents=True, exist_ok=True)
        (tmp_path / str(pid) / "ns" / "mnt").symlink_to(tmp_path / "ns" / namespace)
        (tmp_path / str(pid) / "mountinfo").write_text(f"1 1 0:1 / /r rw - {options}\n")
    return tmp_path


def test_it_works(proc: Path) -> None:
    assert usage.mounted_by(Path(f"/images/store/{ONE}"), proc) == ["process 10"]
    assert usage.mounted_by(Path(f"/images/store/{TWO}"), proc) == []


def test_all_mounted_images_are_found_at_once(proc: Path) -> None:
    assert usage.mounted_digests(Path("/images"), proc) == {ONE: "process 10"}


@pytest.mark.parametrize(
    ("config", "who"),
    [
        ("testbeds/ring/nodes/0001/config", "ring/0001"),
        ("testbeds/ring/controller/config", "ring/controller"),
        ("runs/mine/run.json", "run mine"),
    ],
)
def test_containers_that_were_made_from_an_image_are_named(
    tmp_path: Path, config: str, who: str
) -> None:
    file = tmp_path / config
    file.parent.mkdir(parents=True)
    file.write_text(f"lxc.rootfs.path = overlay:/images/store/{ONE}/root:/d\n")
    assert usage.used_by(tmp_path, ONE) == [who]
    assert usage.used_by(tmp_path, TWO) == []
