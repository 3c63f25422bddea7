"""`vct build --all`: every recipe of ours for both architectures, by one command.

The store is the shared one: on a machine that has none yet this builds all from nothing.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.system.conftest import IMAGES, VCT
from tests.system.test_recipes import MACHINES, NAMES
from vct.drivers import process


def build_all() -> Any:
    """What vct says of each image; and what it says for people."""
    own = {"VCT_IMAGES": str(IMAGES)}
    done = process.run([*VCT, "--json", "build", "--all"], env=own, timeout_s=3600)
    return json.loads(done.stdout), done.stderr


@pytest.mark.slow
def test_it_works() -> None:
    built, said = build_all()
    assert {(one["name"], one["arch"]) for one in built} == {
        (name, arch) for name in NAMES for arch in MACHINES
    }
    # Those that are fetched need to be told from where.
    assert "sliver-openwrt is left out" in said
    assert "node-openwrt is left out" in said


@pytest.mark.slow
def test_a_second_time_there_is_nothing_to_do() -> None:
    built, _ = build_all()
    assert all(one["cached"] for one in built)
