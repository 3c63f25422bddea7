"""Ctrl-C, SIGTERM and kill -9 in the middle: of init, of cleanup, of node start, at every kind of
step. An interrupted verb takes back what it did; after a kill, init or cleanup makes all whole."""

from __future__ import annotations

import os
import signal
from signal import SIGHUP, SIGINT, SIGKILL, SIGTERM

import pytest

from tests.system.conftest import Bed
from tests.system.trouble import lines_of, signalled, steps_left, until

PAIR = """\
nodes: {"0001": {}, "0002": {}}
links: [{between: ["0001", "0002"], rate: 50mbit}]
segments: [{name: roof, members: ["0001", "0002"]}]
"""
MAKING = (
    "Keys",
    "NodeFiles",
    "Fabric",
    "Bridge",
    "Uplink",
    "NodeNetwork",
    "Dhcp",
    "Wire",
    "Port",
    "Shaping",
    "Container",
)
UNMAKING = ("Container", "Dhcp", "NodeNetwork", "Uplink", "Fabric")


def test_it_works(bed: Bed) -> None:
    """Ctrl-C as the first container starts: exit 130, and nothing of the run is left."""
    code = signalled(bed, ("init", str(bed.file(PAIR))), "Container", SIGINT)
    assert code == 130
    assert steps_left(bed, "cleanup", "--flush") == []


@pytest.mark.parametrize("number", [SIGINT, SIGTERM, SIGHUP])
def test_an_interrupted_init_takes_back_what_it_did(bed: Bed, number: signal.Signals) -> None:
    file = str(bed.file(PAIR))
    for kind in MAKING:
        code = signalled(bed, ("init", file), kind, number)
        assert (kind, code) == (kind, 130)
        assert (kind, steps_left(bed, "cleanup", "--flush")) == (kind, [])
