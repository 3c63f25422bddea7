"""Fixtures of the system tests: a testbed of one's own, and a host that must be whole afterwards.

Each test has its own state root and testbed names, so that a testbed which a person left up is not
disturbed; images come from the shared build cache (VCT_IMAGES, else the default place).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.system import snapshot
from tests.system.plain_lxc import plain  # noqa: F401 - a fixture
from tests.system.workshop import clean, workshop  # noqa: F401 - fixtures
from vct.drivers import process

IMAGES = Path(os.environ.get("VCT_IMAGES", "/var/lib/vct/images"))
VCT = (sys.executable, "-m", "vct")


@dataclass
class Bed:
    """A state root of a test's own, and `vct` run in it."""

    home: Path
    name: str
    others: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {"VCT_HOME": str(self.home), "VCT_IMAGES": str(IMAGES), "VCT_TESTBED": self.name}

    def vct(
        self, *arguments: str, check: bool = True, timeout_s: float = 120, stdin: str = ""
    ) -> Any:
        """Run vct to its end: `code`, `stdout`, `stderr`."""
        done = process.run(
            [*VCT, *arguments],
            env=self.environment,
            check=False,
            timeout_s=timeout_s,
            input=stdin,
        )
        if check and done.code != 0:
            pytest.fail(f"vct {' '.join(arguments)} ended with {done.code}:\n{done.stderr}")
        return done

    def json(self, *arguments: str) -> Any:
        """What vct prints with --json."""
        return json.loads(self.vct("--json", *arguments).stdout)

    def file(self, text: str) -> Path:
        """A testbed file with this text."""
        file = self.home.parent / f"{self.home.name}.yaml"
        file.write_text(text)
        return file

    def sh(self, node: str, script: str, *, check: bool = True) -> Any:
        """Run a shell script inside a node."""
        return self.vct("node", "exec", node, "--", "sh", "-c", script, check=check)

    def init(self, text: str) -> Any:
        """Bring the testbed to what this text says; the JSON result."""
        return self.json("init", str(self.file(text)))


@pytest.fixture(scope="session", autouse=True)
def no_groups_of_lxc() -> Iterator[None]:
    """The groups that plain LXC leaves behind; a container of vct names its own."""
    before = groups_of_lxc()
    yield
    for group in groups_of_lxc() - before:
        group.rmdir()


def groups_of_lxc() -> set[Path]:
    """Not by glob, which stumbles over groups that go meanwhile: a host's services have many."""
    walked = os.walk("/sys/fs/cgroup")
    return {Path(top, "lxc.pivot") for top, below, _files in walked if "lxc.pivot" in below}


@pytest.fixture(scope="session")
def node_image() -> Path:
    """The node image is built (from the cache when it is there)."""
    process.run([*VCT, "build", "node-debian"], env={"VCT_IMAGES": str(IMAGES)}, timeout_s=1200)
    return IMAGES


@contextmanager
def new_bed() -> Iterator[Bed]:
    """A new state root; after the block it is cleaned up, and the host must be as before."""
    home = Path("/var/lib") / f"vct-test-{uuid.uuid4().hex[:8]}"
    before = snapshot.take(home)
    bed = Bed(home=home, name=f"t{uuid.uuid4().hex[:6]}x")
    try:
        yield bed
    finally:
        for name in (bed.name, *bed.others):
            bed.vct("--testbed", name, "cleanup", "--flush", check=False)
        left = snapshot.leaks(before, Path("/nonexistent"))
        shutil.rmtree(home, ignore_errors=True)
        bed.file("").unlink()
    assert not left, f"left on the host: {left}"


@pytest.fixture
def bed(node_image: Path) -> Iterator[Bed]:
    """A bed for one test."""
    with new_bed() as bed:
        yield bed


@pytest.fixture(scope="module")
def shared_bed(node_image: Path) -> Iterator[Bed]:
    """A bed for all tests of a module."""
    with new_bed() as bed:
        yield bed


LINE = """\
nodes: {"0001": {}, "0002": {}}
links: [{between: ["0001", "0002"], rate: 50mbit}]
"""
