"""Which engine a link gets, and what the kernel's own lists say about it."""

from __future__ import annotations

import pytest

from vct.drivers.shaping_support import Means, parse_means
from vct.quality import UNSHAPED, Engine, Quality, choose_engine

DELAYED, SPREAD = Quality(delay_us=10_000), Quality(jitter_us=1_000)
LOSSY, SLOW = Quality(loss_ppm=10_000), Quality(rate_bps=1_000_000)


def test_it_works() -> None:
    assert choose_engine(DELAYED, UNSHAPED, netem=True) is Engine.NETEM


@pytest.mark.parametrize(
    ("forward", "backward", "with_netem", "without"),
    [
        (UNSHAPED, UNSHAPED, "none", "none"),
        (DELAYED, UNSHAPED, "netem", "relay"),
        (UNSHAPED, DELAYED, "netem", "relay"),
        (SPREAD, UNSHAPED, "netem", "relay"),
        (LOSSY, UNSHAPED, "netem", "kernel"),
        (UNSHAPED, SLOW, "netem", "kernel"),
        (LOSSY, SLOW, "netem", "kernel"),
        (LOSSY, DELAYED, "netem", "relay"),
    ],
)
def test_the_engine_follows_from_both_directions_and_the_kernel(
    forward: Quality, backward: Quality, with_netem: str, without: str
) -> None:
    assert choose_engine(forward, backward, netem=True) == with_netem
    assert choose_engine(forward, backward, netem=False) == without


def test_modules_of_the_kernel_are_read() -> None:
    modules = "kernel/net/sched/sch_netem.ko.xz: \nkernel/net/sched/sch_tbf.ko\n"
    assert parse_means(modules, "", tap=True) == Means(
        netem=True, tbf=True, drop=False, tap=True, tried=False
    )


def test_the_configuration_of_the_kernel_is_read() -> None:
    configuration = (
        "# CONFIG_NET_SCH_NETEM is not set\nCONFIG_NET_SCH_TBF=y\n"
        "CONFIG_NET_SCH_INGRESS=m\nCONFIG_NET_CLS_BPF=y\n"
    )
    assert parse_means("", configuration, tap=False) == Means(
        netem=False, tbf=True, drop=True, tap=False, tried=False
    )
