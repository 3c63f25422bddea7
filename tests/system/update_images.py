"""Images to update nodes to, good and bad ones, made of the node image in a store of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.system.conftest import IMAGES, Bed
from vct.build import inputs, store
from vct.build.formats import programs
from vct.drivers import process

INIT = "etc/vct/init"


@dataclass
class UpdateBed(Bed):
    """A bed with a store of its own."""

    images: Path = Path()

    @property
    def environment(self) -> dict[str, str]:
        own = {"VCT_IMAGES": str(self.images), "VCT_HOME": str(self.home)}
        return own | {"VCT_TESTBED": self.name}

    def digest(self, name: str, arch: str = "amd64") -> str:
        return store.find_image(self.images, name, arch).digest


def _as_it_is(_root: Path) -> None:
    pass


def _second(root: Path) -> None:
    (root / "etc/second").write_text("second\n")


def _third(root: Path) -> None:
    (root / "etc/third").write_text("third\n")


def _panics(root: Path) -> None:
    """Its init ends at once, which on a machine is a kernel panic."""
    (root / INIT).unlink()
    (root / INIT).symlink_to("/bin/false")


def _silent(root: Path) -> None:
    """It boots, and has no ssh server."""
    (root / "usr/sbin/sshd").unlink()
    (root / "etc/silent").write_text("silent\n")


def _restless(root: Path) -> None:
    """It reboots by itself before anybody can say that it is well."""
    (root / "usr/sbin/sshd").unlink()
    script = root / "etc/vct/boot.d/restless"
    script.write_text("(sleep 0.6; reboot) </dev/null >/dev/null 2>&1 &\n")


def _with_agent(root: Path, answer: str) -> None:
    """It answers for an agent: `answer` is the body, empty for one that crashes."""
    script = root / "etc/vct/agent"
    body = f"HTTP/1.0 200 OK\\r\\n\\r\\n{answer}"
    script.write_text(f"#!/bin/sh\nprintf '{body}' | nc -N -l 80\n" if answer else "#!/bin/sh\n")
    script.chmod(0o755)
    inittab = root / "etc/vct/inittab.fast"
    line = "ag:2345:respawn:/bin/sh -c 'while :; do /etc/vct/agent; done'\n"
    inittab.with_name("inittab.fast.agent").write_text(inittab.read_text() + line)


def _safe(root: Path) -> None:
    _with_agent(root, '{"state": "safe"}')


def _failing(root: Path) -> None:
    _with_agent(root, '{"state": "failure"}')


def _crashing(root: Path) -> None:
    _with_agent(root, "")


def _agentless(root: Path) -> None:
    """It is older than the agent."""
    for inittab in (root / "etc/vct").glob("inittab.*.agent"):
        inittab.unlink()


def _bare(root: Path) -> None:
    (root / INIT).unlink()


CHANGES: dict[str, Callable[[Path], None]] = {
    "node-debian": _as_it_is,
    "second": _second,
    "third": _third,
    "panics": _panics,
    "silent": _silent,
    "restless": _restless,
    "agentless": _agentless,
    "bare": _bare,
    "safe": _safe,
    "failing": _failing,
    "crashing": _crashing,
}


def make_images(place: Path) -> None:
    """A store with the images of CHANGES, `packed` as a squashfs, and `second` for i386 as well."""
    store.prepare(place)
    base = store.find_image(IMAGES, "node-debian", "amd64")
    for name, change in CHANGES.items():
        add_image(place, base.path, name, change)
    add_image(place, base.path, "second", _second, arch="i386")  # never booted
    add_image(place, base.path, "packed", _second, packed=True)


def add_image(
    place: Path,
    source: Path,
    name: str,
    change: Callable[[Path], None],
    *,
    arch: str = "amd64",
    packed: bool = False,
    build: int = 1,
) -> None:
    """Put a changed copy of a tree into a store under a name. `build` makes it another one."""
    finished = place / "tmp" / f"making-{name}"
    root = finished / "root"
    root.mkdir(parents=True)
    process.run(programs.copy_tree(source, root))
    change(root)
    if packed:
        process.run(programs.mksquashfs(root, finished / "root.squashfs", 1))
        process.run(["rm", "-rf", str(root)])
    manifest = {"name": name, "arch": arch, "kind": "node", "imported": {"build": build}}
    record = {
        "built": "2026-01-01T00:00:00+00:00", "seconds": 0.0, "size_mib": 1.0, "packages": [],
    }  # fmt: skip
    (finished / "manifest.json").write_text(inputs.render(manifest))
    (finished / "record.json").write_text(json.dumps(record))
    digest = inputs.digest(manifest)
    store.publish(place, finished, digest)
    store.point(place, name, arch, digest)
