"""What the tests of exchange share: two stores, and a tiny image with one of everything."""

from __future__ import annotations

import json
import os
import random
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.system.conftest import VCT
from vct.build import store
from vct.build.formats.tree import tree_facts
from vct.drivers import process

CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")  # cap_net_raw=ep


@dataclass(frozen=True)
class Shop:
    """Two stores: one that exports, one that imports."""

    root: Path
    origin: Path
    other: Path

    def vct(self, images: Path, *arguments: str) -> process.Completed:
        return process.run(
            [*VCT, *arguments], env={"VCT_IMAGES": str(images)}, check=False, timeout_s=600
        )

    def json(self, images: Path, *arguments: str) -> Any:
        done = self.vct(images, "--json", *arguments)
        assert done.code == 0, done.stderr
        return json.loads(done.stdout)


def digest_of(image: store.Image) -> str:
    return tree_facts(image.root).digest


def make_tree(root: Path) -> None:
    """A root file system with one of everything that may be in one."""
    for name in ("etc", "usr/bin", "dev", "odd/empty"):
        (root / name).mkdir(parents=True)
    (root / "etc" / "passwd").write_text("root:*:0:0:root:/root:/bin/sh\n")
    (root / "usr" / "bin" / "noise").write_bytes(random.Random(1).randbytes(1_000_000))
    (root / "bin").symlink_to("usr/bin")
    (root / "odd" / "a link").symlink_to("/etc/passwd")
    file = root / "odd" / "file"
    file.write_text("hello\n")
    os.link(file, root / "odd" / "again")
    os.chown(file, 1234, 567)
    file.chmod(0o4750)
    os.setxattr(file, "security.capability", CAPABILITY)
    os.setxattr(root / "etc" / "passwd", "user.comment", b"n\0t text")
    os.mknod(root / "dev" / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.utime(file, (1_600_000_000, 1_600_000_000))


def make_shop(root: Path) -> Shop:
    """The first store has the tiny image, the other one has nothing yet."""
    made = Shop(root=root, origin=root / "origin", other=root / "other")
    make_tree(root / "tree")
    made.json(
        made.origin, "image", "import", str(root / "tree"), "--name", "tiny", "--arch", "amd64"
    )
    return made


def is_untouched(shop: Shop, name: str) -> bool:
    """Nothing half-made is in the store, and no such name."""
    names = [one for one, _ in store.image_names(shop.other)]
    return not list((shop.other / "tmp").iterdir()) and name not in names
