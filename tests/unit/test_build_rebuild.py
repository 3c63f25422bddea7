"""What an image was built with is known from its record and those of what it starts from."""

from __future__ import annotations

import pytest

from tests.unit.build_workshop import Workshop
from vct.build import rebuild, record, store
from vct.build.bill import Package
from vct.build.store import Image
from vct.errors import VctError

GROUND = 'name: ground\nkind: base\nparameters: {suite: trixie}\nbootstrap: {suite: "${suite}"}\n'


@pytest.fixture
def top(workshop: Workshop) -> Image:
    """An image on one whose recipe has a parameter."""
    (workshop.recipes / "ground.yaml").write_text(GROUND)
    workshop.build()
    return store.find_image(workshop.images, "top", "amd64")


def test_it_works(workshop: Workshop, top: Image) -> None:
    assert rebuild.suite_of(workshop.images, top) == "trixie"


def test_parameters_are_those_of_all_that_an_image_starts_from(
    workshop: Workshop, top: Image
) -> None:
    assert record.read(top)["parameters"] == {}  # of its own
    assert rebuild.parameters_of(workshop.images, top) == {"suite": "trixie"}


def test_a_parent_that_was_freed_is_told(workshop: Workshop, top: Image) -> None:
    store.remove(workshop.images, store.find_image(workshop.images, "ground", "amd64"))
    with pytest.raises(VctError, match="was built on is not in the store") as caught:
        rebuild.suite_of(workshop.images, top)
    assert caught.value.hint == "build it again: vct build top --arch amd64"


def test_a_lock_file_says_them(
    workshop: Workshop, top: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Package(
        name="apt", version="2", arch="amd64", source="apt", source_version="2", size_kib=1
    )
    monkeypatch.setattr(record, "packages_of", lambda _image: [package])
    entry = rebuild.lock_entry(workshop.images, top)
    assert (entry["suite"], entry["parameters"]) == ("trixie", {"suite": "trixie"})
    assert entry["packages"] == {"apt": {"version": "2", "sha256": ""}}
