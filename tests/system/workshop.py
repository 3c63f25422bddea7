"""A store and recipes of the build tests' own, shared by their modules through conftest."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from vct.build import usage
from vct.drivers import process

DEADLINE_S = 120
VCT = (sys.executable, "-m", "vct")


@dataclass(frozen=True)
class Workshop:
    """A store and recipes of these tests' own. `cold` is what the first build answered."""

    recipes: Path
    images: Path
    cold: list[Any] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {"VCT_IMAGES": str(self.images), "VCT_RECIPES": str(self.recipes)}

    def write(self, name: str, rest: str) -> None:
        (self.recipes / f"{name}.yaml").write_text(
            f"name: {name}\nkind: node\nfrom: base-debian\n{rest}\n"
        )

    def vct(self, *arguments: str) -> process.Completed:
        return process.run([*VCT, *arguments], env=self.environment, check=False, timeout_s=600)

    def json(self, *arguments: str) -> Any:
        done = self.vct("--json", *arguments)
        assert done.code == 0, done.stderr
        return json.loads(done.stdout)

    def start(self, *arguments: str) -> process.Process:
        return process.start(
            [*VCT, *arguments],
            env=self.environment,
            stdout=process.PIPE,
            stderr=process.PIPE,
            new_session=True,
        )

    def running(self, words: str, log: str) -> Callable[[], bool]:
        file = self.images / "logs" / f"{log}.amd64.log"
        return lambda: file.exists() and words in file.read_text()

    def commands(self, name: str) -> list[str]:
        """What the last build of an image ran inside it."""
        lines = (self.images / "logs" / f"{name}.amd64.log").read_text().splitlines()
        ran = [line.partition("/bin/sh -ec ")[2] for line in lines if "/bin/sh -ec " in line]
        return [command for command in ran if command and not command.startswith("'")]

    def is_clean(self) -> bool:
        """Nothing is left of a build: no file, and in no process' view a mount."""
        return not list((self.images / "tmp").iterdir()) and not usage.mounted_by(self.images)


def wait_until(condition: Callable[[], bool], words: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_S} s: {words}"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    root = tmp_path_factory.mktemp("build")
    (root / "recipes").mkdir()
    (root / "images" / "tiny" / "etc").mkdir(parents=True)
    (root / "images" / "tiny" / "etc" / "motd").write_text("hello from the recipe\n")
    hello = root / "images" / "tiny" / "usr" / "local" / "bin" / "hello"
    hello.parent.mkdir(parents=True)
    hello.write_text("#!/bin/sh\necho hello from $(uname -m)\n")
    hello.chmod(0o755)
    made = Workshop(recipes=root / "recipes", images=root / "store")
    made.write("tiny", "files: images/tiny\nrun:\n  - hello >/etc/hello")
    made.cold.extend(made.json("build", "tiny"))
    return made


@pytest.fixture
def clean(workshop: Workshop) -> Iterator[Workshop]:
    """The workshop; after the test nothing of a build may be left."""
    yield workshop
    assert workshop.is_clean()
