"""LXC configuration of the run of an image, as text; and the layer below the image. Pure but for
`write_below`.

A run has a network namespace of its own with nothing but lo in it. Images that are not ours have no
/etc/vct/init; they get one from a directory below the image, which is seen as long as the overlay
is mounted. (Not by lxc.mount.entry: LXC without a root file system would mount that over the
host's files, and find an init there after all.)
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from vct.drivers import lxc_config
from vct.paths import ImageRunPaths

IDLE = "/etc/vct/idle"  # like lxc_config.INIT it exists in layers of ours only
IDLE_SCRIPT = Path(__file__).with_name("idle-init.sh")


def render_run(
    paths: ImageRunPaths, *, root: str, init: str, arch: str, image: str, cgroup2: bool
) -> str:
    """The configuration file of a run. `image` is said in a comment: the image is in use."""
    lxc_path = paths.root.parent
    lines = [
        f"# vct run of {image}",
        f"lxc.uts.name = {paths.name}",
        f"lxc.arch = {lxc_config.ARCHITECTURES[arch]}",
        *lxc_config.root_lines(root, init),
        "lxc.net.0.type = empty",
        "lxc.net.0.flags = up",  # lo, before anything can be run: an init takes its time
        *lxc_config.log_lines(paths.console_log, paths.monitor_log),
        *lxc_config.SYSTEM,
        *lxc_config.group_lines(
            group_of(lxc_path, paths.name), ending_group(lxc_path), cgroup2=cgroup2
        ),
    ]
    return "\n".join(lines) + "\n"


def group_of(lxc_path: Path, name: str) -> str:
    """A run's control group, apart from testbeds' and from those of other state roots."""
    return f"vct/runs_{_digest(lxc_path)}/{name}"


def ending_group(lxc_path: Path) -> str:
    """Where monitors go to end."""
    return f"vct-runs_{_digest(lxc_path)}.ending"


def _digest(lxc_path: Path) -> str:
    return hashlib.sha256(bytes(lxc_path)).hexdigest()[:8]


def write_below(below: Path) -> None:
    """Make the directory that is mounted below an image: our two inits."""
    directory = below / lxc_config.INIT.lstrip("/")
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.unlink(missing_ok=True)
    directory.symlink_to("/sbin/init")
    idle = below / IDLE.lstrip("/")
    shutil.copyfile(IDLE_SCRIPT, idle)
    idle.chmod(0o755)
