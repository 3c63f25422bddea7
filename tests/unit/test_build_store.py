"""The image store: nothing half-built under a final name, nothing foreign touched."""

from __future__ import annotations

import json
import os
from pathlib import Path
from threading import Thread

import pytest

from vct.build import inputs, store, usage
from vct.build.trees import remove_tree
from vct.errors import RefusedError, UsageError, VctError


@pytest.fixture
def images(tmp_path: Path) -> Path:
    store.prepare(tmp_path / "images")
    return tmp_path / "images"


def add(images: Path, name: str = "tiny", arch: str = "amd64", content: str = "one") -> str:
    """A finished image, published and named."""
    manifest = {"name": name, "arch": arch, "run": [content]}
    digest = inputs.digest(manifest)
    finished = images / "tmp" / "job" / "image"
    (finished / "root" / "etc").mkdir(parents=True)
    (finished / "root" / "etc" / "content").write_text(content)
    (finished / "manifest.json").write_text(inputs.render(manifest))
    record = {"size_mib": 1.5, "built": "2026-01-01T00:00:00+00:00", "seconds": 2.0, "packages": []}
    (finished / "record.json").write_text(json.dumps(record))
    store.publish(images, finished, digest)
    remove_tree(images / "tmp" / "job")
    store.point(images, name, arch, digest)
    return digest


def test_it_works(images: Path) -> None:
    digest = add(images)
    found = store.find_image(images, "tiny", "amd64")
    assert (found.name, found.arch, found.digest, found.size_mib) == ("tiny", "amd64", digest, 1.5)
    assert (found.root / "etc" / "content").read_text() == "one"
    assert found.root == images / "store" / digest / "root"


def test_an_image_that_is_not_built_comes_with_the_command_that_builds_it(images: Path) -> None:
    with pytest.raises(store.NoImageError) as caught:
        store.find_image(images, "tiny", "i386")
    assert caught.value.hint == "run: vct build tiny --arch i386"


def test_a_store_that_does_not_exist_has_no_images(tmp_path: Path) -> None:
    assert store.list_images(tmp_path / "none") == []
    with pytest.raises(store.NoImageError):
        store.find_image(tmp_path / "none", "tiny", "amd64")


def test_images_are_listed_by_name_and_architecture(images: Path) -> None:
    for name, arch in (("tiny", "i386"), ("base", "amd64"), ("tiny", "amd64")):
        add(images, name, arch)
    found = [(image.name, image.arch) for image in store.list_images(images)]
    assert found == [("base", "amd64"), ("tiny", "amd64"), ("tiny", "i386")]


def test_a_name_moves_to_the_newer_image_and_the_older_one_stays(images: Path) -> None:
    old, new = add(images, content="one"), add(images, content="two")
    assert store.find_image(images, "tiny", "amd64").digest == new
    assert store.read_image(images, old).root.is_dir()


def test_an_image_built_again_replaces_itself(images: Path) -> None:
    digest = add(images)
    (images / "store" / digest / "root" / "etc" / "content").write_text("spoilt")
    assert add(images) == digest
    root = store.find_image(images, "tiny", "amd64").root
    assert (root / "etc" / "content").read_text() == "one"
    assert list((images / "tmp").iterdir()) == []


@pytest.mark.parametrize("file", ["manifest.json", "record.json"])
def test_a_damaged_image_is_told(images: Path, file: str) -> None:
    digest = add(images)
    (images / "store" / digest / file).write_text("{}")
    with pytest.raises(VctError, match="damaged") as caught:
        store.find_image(images, "tiny", "amd64")
    assert "vct build --no-cache" in caught.value.hint


def test_an_image_without_its_root_is_told(images: Path) -> None:
    digest = add(images)
    remove_tree(images / "store" / digest / "root")
    with pytest.raises(VctError, match="damaged"):
        store.find_image(images, "tiny", "amd64")


def test_a_directory_with_somebody_elses_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(RefusedError, match="not an image store"):
        store.prepare(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("mine")
    with pytest.raises(RefusedError):
        store.prepare(tmp_path / "images")


@pytest.mark.parametrize("place", ["relative", "/a:b", "/a,b", "/a\\b"])
def test_a_path_that_overlays_cannot_have_is_refused(place: str) -> None:
    with pytest.raises(UsageError):
        store.prepare(Path(place))


def test_what_killed_builds_left_is_cleared_and_nothing_else(images: Path, tmp_path: Path) -> None:
    digest = add(images)
    (tmp_path / "mine").mkdir()
    (images / "tmp" / "dead" / "work").mkdir(parents=True)
    (images / "tmp" / "dead" / "link").symlink_to(tmp_path / "mine")
    with store.lock_for_build(images, lambda _words: None):
        pass
    assert list((images / "tmp").iterdir()) == []
    assert (tmp_path / "mine").is_dir()
    assert store.read_image(images, digest).root.is_dir()


def test_a_second_builder_is_told_who_works_and_waits(images: Path) -> None:
    told: list[str] = []

    def second() -> None:
        with store.lock(images, told.append):
            told.append("in")

    with store.lock(images, told.append):
        thread = Thread(target=second)
        thread.start()
        while not told:
            thread.join(0.01)
        assert f"process {os.getpid()}" in told[0]
        assert "in" not in told
    thread.join()
    assert told[1:] == ["in"]


def test_builds_work_together_and_a_removal_alone(images: Path) -> None:
    told: list[str] = []

    def removal() -> None:
        with store.lock(images, told.append):
            told.append("in")

    with (
        store.lock_for_build(images, told.append),
        store.lock_for_build(images, told.append),
    ):
        assert told == []
        thread = Thread(target=removal)
        thread.start()
        while not told:
            thread.join(0.01)
        assert told[0].startswith("another vct")
    thread.join()
    assert told[1:] == ["in"]


def test_what_another_build_has_in_hand_is_not_cleared(images: Path) -> None:
    with store.lock_for_build(images, lambda _words: None):
        (images / "tmp" / "abc").mkdir()
        with store.lock_for_build(images, lambda _words: None):
            assert (images / "tmp" / "abc").is_dir()


def test_a_squashfs_is_an_image_too(images: Path) -> None:
    directory = images / "store" / add(images)
    remove_tree(directory / "root")
    (directory / "root.squashfs").write_text("packed")
    image = store.find_image(images, "tiny", "amd64")
    assert (image.format, image.path) == ("squashfs", directory / "root.squashfs")
    with pytest.raises(RefusedError, match="a directory is needed"):
        _ = image.root


def test_a_removed_image_is_gone(images: Path) -> None:
    digest = add(images)
    store.remove(images, store.find_image(images, "tiny", "amd64"))
    assert store.list_images(images) == []
    assert not (images / "store" / digest).exists()
    assert list((images / "tmp").iterdir()) == []


def test_an_image_that_is_mounted_is_not_removed(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = add(images)
    monkeypatch.setattr(usage, "mounted_by", lambda _path: ["process 4711"])
    with pytest.raises(RefusedError, match="4711"):
        store.remove(images, store.find_image(images, "tiny", "amd64"))
    assert store.find_image(images, "tiny", "amd64").digest == digest
