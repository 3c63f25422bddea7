"""Two recipes, a store, and a sandbox that only writes down what it should run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest

from vct.build import apt, making
from vct.build.apt import AptSource
from vct.build.builder import BuildResult, build
from vct.build.events import Progress
from vct.build.mirror import Snapshot
from vct.build.plan import Planned, observe, plan_build, wanted_images
from vct.build.recipes import with_parents
from vct.build.steps import TIDYING
from vct.build.supplies import Supplies
from vct.drivers import process
from vct.model.recipe import Recipe

MIRROR = "http://mirror.example/debian"


@dataclass
class FakeSandbox:
    """Runs nothing. A layer's copy makes a file in it; `fails` says which step ends with 7."""

    ran: list[tuple[str, ...]] = field(default_factory=list)
    fails: Callable[[Sequence[str]], bool] = lambda _argv: False
    says: bytes = b""
    log: IO[bytes] | None = None
    during: Callable[[], None] = lambda: None
    stopped: bool = False

    @contextmanager
    def __call__(self, log: IO[bytes], inherit: Sequence[int]) -> Iterator[FakeSandbox]:
        assert len(inherit) == 2  # the locks of the store and of the image
        self.log = log
        yield self

    def run(self, argv: Sequence[str], *, env: Mapping[str, str], network: bool = True) -> int:
        self.ran.append(tuple(argv))
        self.during()
        assert self.log is not None
        if self.fails(argv):
            self.log.write(self.says)
            return 7
        if argv[:2] == ("cp", "-a"):
            (Path(argv[-1]) / "upper" / "etc").mkdir(parents=True)
        if argv[0] == "mksquashfs":
            Path(argv[2]).write_text("packed")
        return 0

    def stop(self) -> None:
        self.stopped = True

    def commands(self) -> list[str]:
        """What was run in the new root."""
        return [argv[-1] for argv in self.ran if argv[0] == "chroot" and argv[-1] != TIDYING]


@dataclass
class Workshop:
    """Two recipes, a store and a fake sandbox."""

    recipes: Path
    images: Path
    sandbox: FakeSandbox = field(default_factory=FakeSandbox)
    events: list[Progress] = field(default_factory=list)

    def load(self, *names: str) -> list[Recipe]:
        return with_parents(names or ["top"], "amd64", [self.recipes])

    def build(self, *names: str, no_cache: bool = False) -> list[BuildResult]:
        return build(
            wanted_images(self.load(*names), MIRROR),
            images=self.images,
            progress=self.events.append,
            no_cache=no_cache,
            sandbox=self.sandbox,
        )

    def write(self, packages: str = "[curl]", run: str = "[date]", output: str = "") -> None:
        output = output and f"output: {{format: {output}}}\n"
        (self.recipes / "top.yaml").write_text(
            f"name: top\nkind: node\nfrom: ground\npackages: {packages}\nrun: {run}\n{output}"
        )

    def why(self) -> dict[str, tuple[str, str]]:
        return {one.wanted.name: (one.action, one.reason) for one in self.plan()}

    def plan(self) -> list[Planned]:
        wanted = wanted_images(self.load(), MIRROR)
        return plan_build(wanted, observe(self.images, wanted))

    def layers(self) -> dict[str, str]:
        """What would be done for each layer of the upper image."""
        return {layer.label: layer.action for layer in self.plan()[-1].layers}


def supplies(sources: tuple[AptSource, ...], arch: str, **given: Any) -> Supplies:
    """What a mirror has, without asking one."""
    snapshot = Snapshot(
        arch=arch,
        directory=given["cache"],
        taken=0.0,
        used=sources,
        left_out=(),
        releases=(),
        options=(),
    )
    return Supplies(snapshot=snapshot, directory=given["directory"])


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    monkeypatch.setattr(apt, "host_acquire_options", list)
    monkeypatch.setattr(apt, "package_version", lambda _package: "1")
    monkeypatch.setattr(apt, "check_keyrings", lambda _sources: None)
    monkeypatch.setattr(making, "gather", supplies)
    monkeypatch.setattr(process, "find", lambda program: Path("/usr/bin") / program)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "ground.yaml").write_text(
        "name: ground\nkind: base\nbootstrap: {suite: bookworm}\n"
    )
    made = Workshop(recipes=tmp_path / "recipes", images=tmp_path / "images")
    made.write()
    return made
