"""Building with a sandbox that only writes down what it should run."""

from __future__ import annotations

import pytest

from tests.unit.build_workshop import MIRROR, Workshop
from vct.build import making, store
from vct.build.builder import BuildResult, build
from vct.build.failure import BuildError
from vct.build.lock import Locked
from vct.build.plan import wanted_images
from vct.drivers import process
from vct.errors import HostError, VctError


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
        (b"E: Failed to fetch http://m/a.deb  404  Not Found", "packages that it does not have"),
        (b"tar: No space left on device", "free some disk space"),
    ],
)
def test_known_failures_come_with_advice(workshop: Workshop, said: bytes, advice: str) -> None:
    workshop.sandbox.fails = lambda argv: argv[0] == "mmdebstrap"
    workshop.sandbox.says = said + b"\n"
    with pytest.raises(BuildError) as caught:
        workshop.build()
    assert advice in caught.value.hint


def test_other_files_than_were_locked_are_told(workshop: Workshop) -> None:
    def locked(name: str, tree: str) -> Locked:
        return Locked(name=name, arch="amd64", suite="bookworm", tree=tree, packages={})

    locks = {(name, "amd64"): locked(name, tree) for name, tree in (("ground", ""), ("top", "ab"))}
    wanted = wanted_images(workshop.load(), MIRROR, locks)
    report = workshop.events.append
    build(wanted, images=workshop.images, progress=report, sandbox=workshop.sandbox)
    remarks = [(event.image, event.step) for event in workshop.events if event.note]
    assert [image for image, _ in remarks] == ["top"]
    assert "not those that were locked" in remarks[0][1]


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
