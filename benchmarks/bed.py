"""A state root of the benchmark's own, and the `vct` command run and timed in it.

Images come from the installation's store (VCT_IMAGES); everything else is under
/var/lib/vct-bench-<random> and goes with it.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vct.drivers import process
from vct.errors import HostError
from vct.model.load import load_testbed
from vct.model.testbed import Testbed
from vct.paths import Home, TestbedPaths

IMAGES = Path(os.environ.get("VCT_IMAGES", "/var/lib/vct/images"))
VCT = (sys.executable, "-m", "vct")
LIMIT_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Bed:
    """A state root, a testbed name, and a directory for testbed files."""

    home: Home
    name: str
    files: Path

    @property
    def paths(self) -> TestbedPaths:
        return self.home.testbed(self.name)

    def vct(self, *arguments: str) -> process.Completed:
        """Run vct to its end. Raises CommandError when it fails."""
        environment = {
            "VCT_HOME": str(self.home.root),
            "VCT_IMAGES": str(self.home.images),
            "VCT_TESTBED": self.name,
        }
        return process.run([*VCT, *arguments], env=environment, timeout_s=LIMIT_S)

    def timed(self, *arguments: str) -> float:
        """The seconds that a vct command takes, as its caller sees it."""
        begun = time.perf_counter()
        self.vct(*arguments)
        return time.perf_counter() - begun

    def file(self, text: str) -> Path:
        """A testbed file with this text."""
        file = self.files / "testbed.yaml"
        file.write_text(text)
        return file

    def load(self, text: str) -> Testbed:
        """The testbed that this text describes."""
        return load_testbed(self.file(text), self.name)


@contextmanager
def new_bed() -> Iterator[Bed]:
    """A bed for the block; after it nothing of it is left. Raises HostError without root."""
    if os.geteuid() != 0:
        raise HostError("this benchmark needs root: it starts containers", hint="run it with sudo")
    token = uuid.uuid4().hex[:8]
    home = Home(root=Path("/var/lib") / f"vct-bench-{token}", images=IMAGES)
    with tempfile.TemporaryDirectory(prefix="vct-bench-") as files:
        bed = Bed(home=home, name=f"b{token[:6]}x", files=Path(files))
        try:
            yield bed
        finally:
            bed.vct("cleanup", "--flush")
            shutil.rmtree(home.root, ignore_errors=True)
