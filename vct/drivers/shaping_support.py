"""What this kernel can do to links: tried out in a network namespace that nobody else sees.

Trying makes the kernel load its modules, as using would. Without root nothing can be tried; then
the kernel's own lists are read, which know what was built. Called by `vct doctor`, and by whoever
has to choose an engine before anything is made.
"""

from __future__ import annotations

import ctypes
import fcntl
import gzip
import os
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from vct.drivers.base import Support
from vct.drivers.netns import CLONE_NEWNET, LOOPBACK
from vct.drivers.relay_tap import TUN_DEVICE, TUNSETIFF, interface_request
from vct.drivers.rtnetlink import Netlink
from vct.drivers.shaping_kernel import NETEM, TBF, set_drop, set_root
from vct.drivers.shaping_render import render_netem, render_tbf
from vct.errors import VctError
from vct.quality import Quality

MODULES = Path("/lib/modules")
CONFIGURATION = Path("/proc/config.gz")
MTU = 1500
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What can impair links here. `tried` says whether that was seen, not only read."""

    netem: bool
    tbf: bool
    drop: bool
    tap: bool
    tried: bool = True


def has_netem() -> bool:
    """Whether this kernel has netem; the answer that vct.quality.choose_engine needs."""
    return observe_means().netem


def observe_means() -> Means:
    """Try each means; without root, read what the kernel was built with."""
    # The thread ends inside the new namespace, so it must be one that nothing else uses.
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(_try_means).result() or _read_means()


def supports() -> list[Support]:
    """Findings about netem and about what stands in for it."""
    means = observe_means()
    how = "tried" if means.tried else "in the kernel's list, not tried: needs root"
    stand_in = not means.netem

    def finding(what: str, found: bool, module: str, without: str, required: bool) -> Support:
        return Support(
            what=what,
            found=found,
            detail=how if found else "not in this kernel",
            without=without,
            fix=f"modprobe {module}, or a kernel of your distribution",
            modules=() if found else (module,),
            required=required,
        )

    return [
        finding("netem", means.netem, "sch_netem", "delay goes through a relay program", False),
        finding("tbf", means.tbf, "sch_tbf", "links have no rate limit", stand_in),
        finding("drop at ingress", means.drop, "cls_bpf", "links have no loss", stand_in),
        finding("TAP devices", means.tap, "tun", "links with delay cannot be relayed", stand_in),
    ]


def _try_means() -> Means | None:
    if _libc.unshare(CLONE_NEWNET) < 0:
        return None
    quality = Quality(delay_us=1000)
    with Netlink() as netlink:
        return Means(
            netem=_works(
                lambda: set_root(netlink, LOOPBACK, "netem", NETEM, render_netem(quality))
            ),
            tbf=_works(lambda: set_root(netlink, LOOPBACK, "tbf", TBF, render_tbf(10**6, MTU))),
            drop=_works(lambda: set_drop(netlink, LOOPBACK, 1)),
            tap=_works(_make_tap),
        )


def _works(attempt: Callable[[], None]) -> bool:
    try:
        attempt()
    except (OSError, VctError):
        return False
    return True


def _make_tap() -> None:
    """A TAP that goes when it is closed."""
    device = os.open(TUN_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(device, TUNSETIFF, interface_request("probe"))
    finally:
        os.close(device)


def _read_means() -> Means:
    here = MODULES / platform.release()
    lists = [here / "modules.builtin", here / "modules.dep"]
    modules = "".join(path.read_text() for path in lists if path.is_file())
    return parse_means(modules, _configuration(), tap=Path(TUN_DEVICE).is_char_device())


def _configuration() -> str:
    if not CONFIGURATION.is_file():
        return ""
    with gzip.open(CONFIGURATION, "rt") as file:
        return file.read()


def parse_means(modules: str, configuration: str, *, tap: bool) -> Means:
    """What is there by the kernel's lists of modules (`…/sch_netem.ko…`) and its configuration."""

    def built(module: str, option: str) -> bool:
        lines = (f"CONFIG_{option}=y\n", f"CONFIG_{option}=m\n")
        return f"/{module}.ko" in modules or any(line in configuration for line in lines)

    return Means(
        netem=built("sch_netem", "NET_SCH_NETEM"),
        tbf=built("sch_tbf", "NET_SCH_TBF"),
        drop=built("sch_ingress", "NET_SCH_INGRESS") and built("cls_bpf", "NET_CLS_BPF"),
        tap=tap,
        tried=False,
    )
