"""A container's root file system: an image below, a writable layer of fixed size above.

The image is a directory, or a squashfs file that is mounted by a loop device; the writable layer is
on a disk image (vct.drivers.disk_image). Both are mounted by start-container.sh, in a mount
namespace that only the container's monitor keeps: they go with it, however it ends. Pure. Used for
nodes, the controller and containers that are run straight from an image.

A node's disk has a writable layer for each system and, apart from them, what outlives them all:

    systems/1/{upper,work}    one writable layer for each system (vct.drivers.node_systems)
    persist/                  /persist in the node

All other disks have one layer: delta/ and work/.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

START_SCRIPT = Path(__file__).with_name("start-container.sh")
FALL_BACK_SCRIPT = Path(__file__).with_name("fall-back.sh")
START = ("unshare", "--mount", "--propagation=slave", "sh", str(START_SCRIPT))
SQUASHFS_SUFFIX = ".squashfs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """The layers of a container whose files are in the directory `place`.

    `image` is a directory or a `.squashfs` file; `below`, a directory, is seen where the image has
    nothing of its own. `system` is the number of a node's system, 0 on a disk with one layer; those
    not in `kept` are removed at the start. A `trial` can be exchanged for another system under the
    monitor's hands: see fall_back.
    """

    image: Path
    place: Path
    below: Path | None = None
    system: int = 0
    kept: tuple[int, ...] = ()
    trial: bool = False

    @property
    def packed(self) -> bool:
        """Whether the image is a file that has to be mounted."""
        return self.image.suffix == SQUASHFS_SUFFIX

    @property
    def lower(self) -> Path:
        """The directory in which the image is seen, by the monitor at least."""
        if self.trial:
            return self.place / "trial" / "lower"
        return self.place / "lower" if self.packed else self.image

    @property
    def disk_image(self) -> Path:
        """The fixed-size file system that holds the writable layer."""
        return self.place / "disk.img"

    @property
    def disk(self) -> Path:
        """Where the disk image is mounted, in the monitor's own mount namespace only."""
        return self.place / "disk"

    @property
    def upper(self) -> Path:
        """The writable layer. LXC puts overlayfs' own directory, work, beside it."""
        if self.trial:
            return self.place / "trial" / "system" / "upper"
        return upper_on(self.disk, self.system)

    @property
    def root(self) -> str:
        """LXC's root file system (lxc.container.conf(5), lxc.rootfs.path), the image first."""
        below = f":{self.below}" if self.below else ""
        return f"overlay:{self.lower}{below}:{self.upper}"

    @property
    def loops(self) -> tuple[Path, ...]:
        """The files that are behind loop devices while the container runs."""
        return (self.disk_image, self.image) if self.packed else (self.disk_image,)


def upper_on(disk: Path, system: int) -> Path:
    """A system's writable layer on a disk that is mounted."""
    return disk / "systems" / str(system) / "upper" if system else disk / "delta"


def persist_on(disk: Path) -> Path:
    """What of a node outlives its systems, on a disk that is mounted."""
    return disk / "persist"


def start_arguments(layers: Layers, lxc_path: Path, name: str, init: str) -> list[str]:
    """What START needs to start a container, as many words for each."""
    return [
        str(layers.disk_image),
        str(layers.disk),
        str(layers.image),
        str(layers.lower),
        str(layers.below or ""),
        str(lxc_path),
        name,
        layers.root,
        init,
        str(layers.upper),
        str(layers.system or ""),
        " ".join(str(number) for number in layers.kept),
    ]


def fall_back(trial: Layers, image: Path, system: int, record: Path) -> str:
    """The command that the monitor runs before each boot of a trial: if it is not the first, and
    `record` still says that the system is on trial, another image and system are put in place."""
    words = (
        FALL_BACK_SCRIPT, record, trial.system, image, trial.lower, trial.disk, system, trial.upper
    )  # fmt: skip
    return shlex.join(["sh", *map(str, words)])
