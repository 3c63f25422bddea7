"""A container's root file system: an image below, a writable layer of fixed size above.

The image is a directory, or a squashfs file that is mounted by a loop device; the writable layer is
a disk image (vct.drivers.disk_image). Both are mounted by start-container.sh, in a mount namespace
that only the container's monitor keeps: they go with it, however it ends. Pure. Used for nodes and
for containers that are run straight from an image.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

START_SCRIPT = Path(__file__).with_name("start-container.sh")
START = ("unshare", "--mount", "--propagation=slave", "sh", str(START_SCRIPT))
SQUASHFS_SUFFIX = ".squashfs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """The layers of a container whose files are in the directory `place`.

    `image` is a directory or a `.squashfs` file; `below`, a directory, is seen where the image has
    nothing of its own.
    """

    image: Path
    place: Path
    below: Path | None = None

    @property
    def packed(self) -> bool:
        """Whether the image is a file that has to be mounted."""
        return self.image.suffix == SQUASHFS_SUFFIX

    @property
    def lower(self) -> Path:
        """The directory in which the image is seen, by the monitor at least."""
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
    def root(self) -> str:
        """LXC's root file system (lxc.container.conf(5), lxc.rootfs.path), the image first."""
        below = f":{self.below}" if self.below else ""
        return f"overlay:{self.lower}{below}:{self.disk}/delta"

    @property
    def loops(self) -> tuple[Path, ...]:
        """The files that are behind loop devices while the container runs."""
        return (self.disk_image, self.image) if self.packed else (self.disk_image,)


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
    ]
