"""Finding recipes, and what they start from."""

from __future__ import annotations

from pathlib import Path

import pytest

import vct
from vct.build.recipes import (
    data_directory,
    find_recipe,
    recipe_directories,
    recipe_names,
    with_parents,
)
from vct.errors import InputError, UsageError


@pytest.fixture
def own(tmp_path: Path) -> Path:
    directory = tmp_path / "recipes"
    directory.mkdir()
    return directory


def write(directory: Path, name: str, rest: str) -> None:
    (directory / f"{name}.yaml").write_text(f"name: {name}\nkind: node\n{rest}\n")


def test_it_works() -> None:
    found = with_parents(["node-debian"], "amd64", recipe_directories(None))
    assert [recipe.name for recipe in found] == ["base-debian", "node-debian"]


def test_an_own_recipe_starts_from_one_of_ours(own: Path) -> None:
    write(own, "mine", "from: node-debian")
    found = with_parents(["mine"], "i386", recipe_directories(own))
    assert [recipe.name for recipe in found] == ["base-debian", "node-debian", "mine"]


def test_an_own_recipe_goes_before_ours_of_the_same_name(own: Path) -> None:
    write(own, "node-debian", "from: base-debian")
    assert find_recipe("node-debian", recipe_directories(own)).source.parent == own


def test_a_common_parent_is_built_once(own: Path) -> None:
    write(own, "one", "from: base-debian")
    write(own, "two", "from: base-debian")
    found = with_parents(["one", "two", "one"], "amd64", recipe_directories(own))
    assert [recipe.name for recipe in found] == ["base-debian", "one", "two"]


def test_names_are_of_all_directories(own: Path) -> None:
    write(own, "mine", "from: node-debian")
    assert {"mine", "node-debian"} <= set(recipe_names(recipe_directories(own)))


def test_a_cycle_is_told_with_all_that_are_in_it(own: Path) -> None:
    write(own, "one", "from: two")
    write(own, "two", "from: one")
    with pytest.raises(InputError, match="one → two → one"):
        with_parents(["one"], "amd64", recipe_directories(own))


def test_a_missing_parent_is_told_where_it_is_asked_for(own: Path) -> None:
    write(own, "one", "from: base-debain")
    with pytest.raises(InputError) as caught:
        with_parents(["one"], "amd64", recipe_directories(own))
    assert (caught.value.line, caught.value.key) == (3, "from")
    assert caught.value.hint == "did you mean base-debian?"


def test_an_architecture_that_a_recipe_has_not_is_refused(own: Path) -> None:
    write(own, "one", "from: base-debian\narchitectures: [amd64]")
    with pytest.raises(InputError, match="one is not for i386"):
        with_parents(["one"], "i386", recipe_directories(own))


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        find_recipe("node-debain", recipe_directories(None))
    assert caught.value.hint == "did you mean node-debian?"


def test_a_directory_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a directory"):
        recipe_directories(tmp_path / "none")


def test_an_installed_package_has_its_recipes_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vct" / "data" / "recipes").mkdir(parents=True)
    monkeypatch.setattr(vct, "__file__", str(tmp_path / "vct" / "__init__.py"))
    assert data_directory() == tmp_path / "vct" / "data"


def test_a_checkout_has_its_recipes_at_the_top(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vct, "__file__", str(tmp_path / "vct" / "__init__.py"))
    assert data_directory() == tmp_path
