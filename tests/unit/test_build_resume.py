"""Layers of images: resumed, kept, made again; and images that do not need each other."""

from __future__ import annotations

import pytest

from tests.unit.build_workshop import Workshop
from vct.build import store
from vct.build.failure import BuildError

# --- layers --------------------------------------------------------------------------------------


def test_it_works(workshop: Workshop) -> None:
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
    workshop.build("ground", no_cache=True)
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
    workshop.build("over")
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
        workshop.build("worse", "good")
    assert "what it starts from failed: worse for amd64" in caught.value.hint
    names = [image.name for image in store.list_images(workshop.images)]
    assert names == ["good", "ground"]
