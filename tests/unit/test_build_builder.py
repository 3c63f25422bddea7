"""Building with a sandbox that only writes down what it should run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest

from vct.build import apt, making, store
from vct.build.apt import AptSource
from vct.build.builder import BuildResult, build
from vct.build.events import Progress
from vct.build.failure import BuildError
from vct.build.mirror import Snapshot
from vct.build.plan import Planned, observe, plan_build, wanted_images
from vct.build.recipes import with_parents
from vct.build.steps import TIDYING
from vct.build.supplies import Supplies
from vct.drivers import process
from vct.errors import HostError, VctError
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

    def load(self) -> list[Recipe]:
        return with_parents(["top"], "amd64", [self.recipes])

    def build(self, *, no_cache: bool = False) -> list[BuildResult]:
        return build(
            self.load(),
            images=self.images,
            progress=self.events.append,
            mirror=MIRROR,
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


def cached(results: list[BuildResult]) -> dict[str, bool]:
    return {result.name: result.cached for result in results}


def test_it_works(workshop: Workshop) -> None:
    results = workshop.build()
    assert cached(results) == {"ground": False, "top": False}
    assert store.find_image(workshop.images, "top", "amd64").digest == results[1].digest
    assert (store.find_image(workshop.images, "top", "amd64").root / "etc").is_dir()
    assert list((workshop.images / "tmp").iterdir()) == []


def test_a_second_build_runs_nothing(workshop: Workshop) -> None:
    workshop.build()
    workshop.sandbox.ran.clear()
    assert cached(workshop.build()) == {"ground": True, "top": True}
    assert workshop.sandbox.ran == []


def test_only_what_changed_is_built(workshop: Workshop) -> None:
    workshop.build()
    workshop.write(packages="[curl, less]")
    assert workshop.why() == {
        "ground": ("cached", "all inputs are the same"),
        "top": ("build", "packages: added less"),
    }
    assert cached(workshop.build()) == {"ground": True, "top": False}


def test_a_changed_parent_builds_the_child_too(workshop: Workshop) -> None:
    workshop.build()
    with (workshop.recipes / "ground.yaml").open("a") as file:
        file.write("packages: [netbase]\n")
    assert workshop.why() == {
        "ground": ("build", "packages: added netbase"),
        "top": ("build", "from: ground changed"),
    }


def test_going_back_to_what_was_built_before_only_moves_the_name(workshop: Workshop) -> None:
    first = workshop.build()
    workshop.write(run="[ls]")
    workshop.build()
    workshop.write()
    workshop.sandbox.ran.clear()
    assert workshop.why()["top"] == ("name", "built before from the same inputs")
    workshop.build()
    assert workshop.sandbox.ran == []
    assert store.find_image(workshop.images, "top", "amd64").digest == first[1].digest


def test_no_cache_builds_what_is_there(workshop: Workshop) -> None:
    first = workshop.build()
    again = workshop.build(no_cache=True)
    assert cached(again) == {"ground": False, "top": False}
    assert [result.digest for result in again] == [result.digest for result in first]


def test_a_damaged_image_is_built_again(workshop: Workshop) -> None:
    digest = workshop.build()[1].digest
    (workshop.images / "store" / digest / "record.json").unlink()
    assert cached(workshop.build()) == {"ground": True, "top": False}


def test_a_failing_step_is_named_with_its_place_and_last_words(workshop: Workshop) -> None:
    workshop.sandbox.fails = lambda argv: argv[-1] == "date"
    workshop.sandbox.says = b"no clock here\n"
    with pytest.raises(BuildError) as caught:
        workshop.build()
    assert "top.yaml:5: run[0]: top for amd64: run date: failed with exit code 7" in str(
        caught.value
    )
    assert "| no clock here" in caught.value.hint
    assert caught.value.details()["log"] == str(workshop.images / "logs" / "top.amd64.log")


def test_a_failing_step_leaves_nothing_but_its_log(workshop: Workshop) -> None:
    workshop.sandbox.fails = lambda argv: argv[-1] == "date"
    with pytest.raises(BuildError):
        workshop.build()
    assert [image.name for image in store.list_images(workshop.images)] == ["ground"]
    assert len(list((workshop.images / "store").iterdir())) == 1
    assert list((workshop.images / "tmp").iterdir()) == []


def test_a_failure_keeps_the_image_that_was_there(workshop: Workshop) -> None:
    digest = workshop.build()[1].digest
    workshop.write(run="[ls]")
    workshop.sandbox.fails = lambda argv: argv[-1] == "ls"
    with pytest.raises(BuildError):
        workshop.build()
    assert store.find_image(workshop.images, "top", "amd64").digest == digest


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        (b"E: File has unexpected size. Mirror sync in progress?", "does not agree with itself"),
        (b"Temporary failure resolving 'mirror.example'", "cannot be reached"),
        (b"E: Unable to locate package foo", "package's name"),
        (b"tar: No space left on device", "free some disk space"),
    ],
)
def test_known_failures_come_with_advice(workshop: Workshop, said: bytes, advice: str) -> None:
    workshop.sandbox.fails = lambda argv: argv[0] == "mmdebstrap"
    workshop.sandbox.says = said + b"\n"
    with pytest.raises(BuildError) as caught:
        workshop.build()
    assert advice in caught.value.hint


def test_an_interrupted_build_leaves_nothing(workshop: Workshop) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    workshop.sandbox.during = interrupt
    with pytest.raises(KeyboardInterrupt):
        workshop.build()
    assert list((workshop.images / "tmp").iterdir()) == []
    assert store.list_images(workshop.images) == []


def test_what_a_killed_build_left_is_cleared_by_the_next(workshop: Workshop) -> None:
    store.prepare(workshop.images)
    (workshop.images / "tmp" / "top-dead" / "work").mkdir(parents=True)
    workshop.build()
    assert list((workshop.images / "tmp").iterdir()) == []


def test_without_mmdebstrap_nothing_is_begun(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "find", lambda _program: None)
    with pytest.raises(HostError, match="mmdebstrap is not installed"):
        workshop.build()
    assert workshop.sandbox.ran == []


def test_a_full_disk_is_told_in_our_words(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(making, "_prepare", full)
    with pytest.raises(VctError, match="cannot be written") as caught:
        workshop.build()
    assert caught.value.hint.startswith("look at it with: df ")


def test_steps_with_a_title_are_reported_when_they_begin_and_end(workshop: Workshop) -> None:
    workshop.build()
    told = [(event.image, event.step, event.done) for event in workshop.events]
    assert ("ground", "bootstrap Debian bookworm", False) in told
    assert ("ground", "bootstrap Debian bookworm", True) in told
    assert [event.step for event in workshop.events if event.lasting and not event.done] == [
        "bootstrap Debian bookworm",
        "install 1 package and what it needs",
    ]


# --- layers --------------------------------------------------------------------------------------


def test_a_failing_step_is_resumed_at_that_step(workshop: Workshop) -> None:
    workshop.write(run="[date, ls, pwd]")
    workshop.sandbox.fails = lambda argv: argv[-1] == "ls"
    with pytest.raises(BuildError):
        workshop.build()
    workshop.sandbox.fails = lambda _argv: False
    workshop.sandbox.ran.clear()
    assert workshop.layers() == {
        "packages": "kept",
        "run[0]": "kept",
        "run[1]": "build",
        "run[2]": "build",
        "tidy": "build",
    }
    workshop.build()
    assert workshop.sandbox.commands() == ["ls", "pwd"]


def test_a_changed_last_step_runs_alone(workshop: Workshop) -> None:
    workshop.write(run="[date, ls]")
    workshop.build()
    workshop.sandbox.ran.clear()
    workshop.write(run="[date, pwd]")
    workshop.build()
    assert workshop.sandbox.commands() == ["pwd"]
    assert not any(argv[0] == "apt-get" for argv in workshop.sandbox.ran)


def test_a_changed_first_step_runs_all_that_are_above_it(workshop: Workshop) -> None:
    workshop.write(run="[date, ls]")
    workshop.build()
    workshop.sandbox.ran.clear()
    workshop.write(run="[pwd, ls]")
    workshop.build()
    assert workshop.sandbox.commands() == ["pwd", "ls"]


def test_no_cache_runs_every_step_again(workshop: Workshop) -> None:
    workshop.build()
    workshop.sandbox.ran.clear()
    workshop.build(no_cache=True)
    assert workshop.sandbox.commands() == ["date"]


def test_layers_on_a_parent_that_was_made_again_are_of_no_use(workshop: Workshop) -> None:
    workshop.build()
    ground = with_parents(["ground"], "amd64", [workshop.recipes])
    build(
        ground,
        images=workshop.images,
        progress=workshop.events.append,
        mirror=MIRROR,
        no_cache=True,
        sandbox=workshop.sandbox,
    )
    workshop.write(run="[date, ls]")
    assert set(workshop.layers().values()) == {"build"}


def test_an_interrupted_build_stops_what_runs_and_keeps_finished_layers(workshop: Workshop) -> None:
    def interrupt() -> None:
        if workshop.sandbox.ran[-1][-1] == "date":
            raise KeyboardInterrupt

    workshop.sandbox.during = interrupt
    with pytest.raises(KeyboardInterrupt):
        workshop.build()
    assert workshop.layers()["packages"] == "kept"


def test_a_squashfs_is_kept_as_one_file(workshop: Workshop) -> None:
    workshop.write(output="squashfs")
    workshop.build()
    image = store.find_image(workshop.images, "top", "amd64")
    assert (image.format, image.path.name) == ("squashfs", "root.squashfs")
    assert workshop.sandbox.ran[-1][0] == "mksquashfs"


def test_a_parent_that_is_a_squashfs_is_mounted_in_the_build_only(workshop: Workshop) -> None:
    (workshop.recipes / "over.yaml").write_text("name: over\nkind: node\nfrom: top\n")
    workshop.write(output="squashfs")
    build(
        with_parents(["over"], "amd64", [workshop.recipes]),
        images=workshop.images,
        progress=workshop.events.append,
        mirror=MIRROR,
        sandbox=workshop.sandbox,
    )
    parent = store.find_image(workshop.images, "top", "amd64").path
    assert [argv[5] for argv in workshop.sandbox.ran if "squashfs" in argv] == [str(parent)]


# --- several images ------------------------------------------------------------------------------


def test_what_does_not_need_a_failed_image_is_built_all_the_same(workshop: Workshop) -> None:
    for name, command in (("bad", "exit 1"), ("good", "exit 0")):
        (workshop.recipes / f"{name}.yaml").write_text(
            f"name: {name}\nkind: node\nfrom: ground\nrun: [{command}]\n"
        )
    (workshop.recipes / "worse.yaml").write_text("name: worse\nkind: node\nfrom: bad\n")
    workshop.sandbox.fails = lambda argv: argv[-1] == "exit 1"
    with pytest.raises(BuildError, match="bad for amd64") as caught:
        build(
            with_parents(["worse", "good"], "amd64", [workshop.recipes]),
            images=workshop.images,
            progress=workshop.events.append,
            mirror=MIRROR,
            sandbox=workshop.sandbox,
        )
    assert "what it starts from failed: worse for amd64" in caught.value.hint
    names = [image.name for image in store.list_images(workshop.images)]
    assert names == ["good", "ground"]
