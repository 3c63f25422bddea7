"""Where one image is built: the paths of a build's own directory. Knows no program and no recipe.

Steps name these paths, the builder makes what is in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ARCHIVES_IN_ROOT = "/var/cache/apt/archives"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where one image is built: a directory in the store's tmp/. `work` may be a tmpfs."""

    job: Path

    @property
    def work(self) -> Path:
        return self.job / "work"

    @property
    def root(self) -> Path:
        """Where the overlay is mounted, and what programs are run in."""
        return self.work / "root"

    @property
    def parent(self) -> Path:
        """Where a parent that is a squashfs is mounted."""
        return self.work / "parent"

    @property
    def upper(self) -> Path:
        """What the layer under way adds."""
        return self.work / "layer" / "upper"

    @property
    def below(self) -> Path:
        """Links to the layers below, called 0, 1, 2…: mount(2) has little room for paths."""
        return self.job / "below"

    @property
    def layer(self) -> Path:
        """What is renamed into the cache: a layer's `upper`."""
        return self.job / "layer"

    @property
    def finished(self) -> Path:
        """What is renamed into the store: root, manifest, record."""
        return self.job / "image"

    @property
    def archives(self) -> Path:
        """This build's downloaded packages, hard links to those in the cache."""
        return self.job / "archives"

    @property
    def apt(self) -> Path:
        """What this build has of the mirror (vct.build.supplies)."""
        return self.job / "apt"

    @property
    def hooks(self) -> Path:
        """mmdebstrap(1) runs what is in here."""
        return self.job / "hooks"

    @property
    def files(self) -> Path:
        return self.job / "files.tar"

    @property
    def apt_conf(self) -> Path:
        return self.job / "apt.conf"

    @property
    def dpkg_conf(self) -> Path:
        return self.job / "dpkg.conf"

    @property
    def policy(self) -> Path:
        return self.job / "policy-rc.d"
