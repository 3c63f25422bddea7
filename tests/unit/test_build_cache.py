"""What builds keep: layers that stand on one another, and downloaded packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from vct.build import cache, store
from vct.build.layers import Layer, layers_of

LAYERS = layers_of(
    {
        "builder": 1,
        "name": "tiny",
        "arch": "amd64",
        "from": {"name": "base", "digest": "ab" * 32},
        "packages": [],
        "files": {},
        "run": ["date", "ls"],
    }
)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    store.prepare(tmp_path / "images")
    return tmp_path / "images"


def keep(images: Path, layer: Layer, below: str) -> cache.Kept:
    made = images / "tmp" / "layer"
    (made / "upper" / layer.label).mkdir(parents=True)
    return cache.keep_layer(images, layer, below, made)


def found(images: Path, ground: str = "parent") -> list[str]:
    return [kept.key for kept in cache.find_layers(images, LAYERS, ground)]


def test_it_works(images: Path) -> None:
    first = keep(images, LAYERS[0], "parent")
    second = keep(images, LAYERS[1], first.id)
    assert found(images) == [first.key, second.key]
    assert (second.upper / "run[1]").is_dir()
    assert list((images / "tmp").iterdir()) == []


def test_layers_end_at_the_first_that_is_missing(images: Path) -> None:
    first = keep(images, LAYERS[0], "parent")
    keep(images, LAYERS[2], "something")
    assert found(images) == [first.key]


def test_layers_on_another_making_of_the_parent_are_none(images: Path) -> None:
    keep(images, LAYERS[0], "parent")
    assert found(images, "parent made again") == []


def test_a_layer_made_again_makes_those_above_useless(images: Path) -> None:
    first = keep(images, LAYERS[0], "parent")
    keep(images, LAYERS[1], first.id)
    again = keep(images, LAYERS[0], "parent")
    assert again.id != first.id
    assert found(images) == [again.key]


def test_a_damaged_layer_is_none(images: Path) -> None:
    kept = keep(images, LAYERS[0], "parent")
    (kept.upper.parent / "layer.json").write_text("{")
    assert found(images) == []


def test_a_layer_that_did_not_reach_the_disk_is_good_until_the_next_boot(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = keep(images, LAYERS[0], "parent")
    second = keep(images, LAYERS[1], first.id)
    cache.now_on_disk([first])
    assert found(images) == [first.key, second.key]
    (tmp_path / "boot_id").write_text("the next boot")
    monkeypatch.setattr(cache, "BOOT", tmp_path / "boot_id")
    assert found(images) == [first.key]


def test_a_layer_has_a_readable_manifest(images: Path) -> None:
    kept = keep(images, LAYERS[0], "parent")
    assert '"layer": "run[0]"' in (kept.upper.parent / "manifest.json").read_text()


def test_dropped_layers_are_gone(images: Path) -> None:
    kept = keep(images, LAYERS[0], "parent")
    cache.drop_layers(images, [kept.key, "0" * 64])
    assert cache.layer_keys(images) == []
    assert list((images / "tmp").iterdir()) == []


# --- downloaded packages -------------------------------------------------------------------------


def test_what_one_build_downloads_the_next_one_has(images: Path, tmp_path: Path) -> None:
    cache.lend_archives(images, "amd64", tmp_path / "first")
    (tmp_path / "first" / "less_1_amd64.deb").write_text("package")
    (tmp_path / "first" / "partial" / "curl_1_amd64.deb").write_text("not yet checked")
    cache.take_archives(images, "amd64", tmp_path / "first")
    cache.lend_archives(images, "amd64", tmp_path / "second")
    assert [path.name for path in (tmp_path / "second").glob("**/*.deb")] == ["less_1_amd64.deb"]


def test_a_build_that_deletes_its_packages_deletes_no_others(images: Path, tmp_path: Path) -> None:
    cache.lend_archives(images, "amd64", tmp_path / "first")
    (tmp_path / "first" / "less_1_amd64.deb").write_text("package")
    cache.take_archives(images, "amd64", tmp_path / "first")
    (tmp_path / "first" / "less_1_amd64.deb").unlink()
    assert list(cache.archives_directory(images, "amd64").iterdir())


def test_the_cache_does_not_grow_for_ever(images: Path, tmp_path: Path) -> None:
    cache.lend_archives(images, "amd64", tmp_path / "first")
    for name in ("a", "b", "c"):
        (tmp_path / "first" / f"{name}_1_all.deb").write_bytes(bytes(700 * 1024))
    cache.take_archives(images, "amd64", tmp_path / "first", limit_mib=1)
    assert len(list(cache.archives_directory(images, "amd64").iterdir())) == 1
