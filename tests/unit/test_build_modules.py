"""Recipes name modules of vct, and only those are in an image and its inputs."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from vct.build.inputs import manifest, tar_of
from vct.build.modules import DIRECTORY, PACKAGE, module_files
from vct.errors import InputError
from vct.model.recipe import Recipe, parse_recipe


def recipe(directory: Path, modules: str) -> Recipe:
    text = f"name: tiny\nkind: base\nfrom: base-debian\nmodules: [{modules}]\n"
    return parse_recipe(text, directory / "recipes" / "tiny.yaml")


def files(found: Recipe) -> dict[str, str]:
    inputs = manifest(found, "amd64", parent="p", sources=(), tools={})
    files: dict[str, str] = inputs["files"]
    return files


def test_it_works(tmp_path: Path) -> None:
    found = files(recipe(tmp_path, "vct.wire, vct.errors"))
    assert f"{DIRECTORY}/vct/__init__.py" in found
    assert f"{DIRECTORY}/vct/wire/states.py" in found
    assert f"{DIRECTORY}/vct/errors.py" in found
    assert f"{DIRECTORY}/vct/names.py" not in found


def test_what_is_in_the_inputs_is_in_the_archive(tmp_path: Path) -> None:
    found = recipe(tmp_path, "vct.agent")
    with tarfile.open(fileobj=io.BytesIO(tar_of(found))) as archive:
        assert sorted(archive.getnames()) == sorted(files(found))


def test_a_module_within_a_room_brings_the_packages_around_it() -> None:
    found = module_files(("vct.wire.states",))
    assert list(found) == [
        f"{DIRECTORY}/vct/__init__.py",
        f"{DIRECTORY}/vct/wire/__init__.py",
        f"{DIRECTORY}/vct/wire/states.py",
    ]
    assert found[f"{DIRECTORY}/vct/wire/states.py"] == (PACKAGE / "wire/states.py").read_bytes()


def test_nothing_that_python_left_there_is_taken() -> None:
    assert all(name.endswith(".py") for name in module_files(("vct.wire", "vct.agent")))


@pytest.mark.parametrize("modules", ["vct.wires", "vct.wire.none", "vct.data"])
def test_a_module_that_vct_has_not_is_told_with_its_place(modules: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"tiny.yaml:4.*{modules}"):
        files(recipe(tmp_path, modules))


@pytest.mark.parametrize(
    "modules", ["vct", "django", "vct..wire", "../vct", "vct.Wire", "vct.wire, vct.wire"]
)
def test_what_is_no_module_of_vct_is_told(modules: str, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        recipe(tmp_path, modules)
