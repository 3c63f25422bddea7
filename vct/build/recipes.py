"""Finding recipes: in a checkout, in the installed package, or in a directory of the user's own.

A recipe's parent may be in the user's directory or among ours. Knows nothing of building.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import vct
from vct.errors import InputError, UsageError
from vct.model.parameters import UnsetError
from vct.model.recipe import ARCHITECTURES, Recipe, load_recipe
from vct.model.validate import suggestion


def data_directory() -> Path:
    """The directory that holds our `recipes/` and `images/`: vct/data, or the checkout."""
    package = Path(vct.__file__).resolve().parent
    installed = package / "data"
    return installed if (installed / "recipes").is_dir() else package.parent


def recipe_directories(own: Path | None) -> list[Path]:
    """Where recipes are looked for, first match wins. Raises UsageError if `own` is none."""
    if own is None:
        return [data_directory() / "recipes"]
    if not own.is_dir():
        raise UsageError(f"{own} is not a directory", hint="it must hold recipe files: NAME.yaml")
    return [own.resolve(), data_directory() / "recipes"]


def recipe_names(directories: list[Path]) -> list[str]:
    """The names of all recipes that can be found."""
    return sorted({file.stem for directory in directories for file in directory.glob("*.yaml")})


def names_for_all(
    directories: list[Path], parameters: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """The names of all recipes that can be built, and why others cannot: parameters without value.

    Raises InputError for a recipe that is wrong.
    """
    names, left_out = [], {}
    for name in recipe_names(directories):
        try:
            find_recipe(name, directories, parameters=parameters)
            names.append(name)
        except UnsetError as error:
            left_out[name] = error.problem
    return names, left_out


def find_recipe(
    name: str,
    directories: list[Path],
    arch: str = ARCHITECTURES[0],
    parameters: Mapping[str, str] | None = None,
) -> Recipe:
    """The recipe of that name. Raises UsageError with the nearest name when there is none."""
    for directory in directories:
        file = directory / f"{name}.yaml"
        if file.is_file():
            return load_recipe(file, arch, parameters)
    names = recipe_names(directories)
    close = difflib.get_close_matches(name, names, n=1)
    raise UsageError(
        f"there is no recipe {name}",
        hint=f"did you mean {close[0]}?" if close else f"recipes: {', '.join(names) or 'none'}",
    )


def with_parents(
    names: Sequence[str],
    arch: str,
    directories: list[Path],
    parameters: Mapping[str, str] | None = None,
) -> list[Recipe]:
    """The recipes of these names and all they start from, each once, parents first.

    `parameters` go before the recipes' own values. Raises InputError for a cycle, a missing parent,
    and an architecture that a recipe has not; UsageError for a parameter that none of them has.
    """
    search = _Search(directories, arch, parameters or {})
    for name in names:
        search.add(find_recipe(name, directories, arch, parameters), ())
    known = sorted({name for recipe in search.found for name in recipe.parameters})
    for name in parameters or {}:
        if name not in known:
            raise UsageError(
                f"--set {name}: no recipe here has this parameter",
                hint=suggestion(name, known) if known else "these recipes have no parameters",
            )
    return search.found


@dataclass(slots=True)
class _Search:
    """Recipes found so far, in the order in which they are to be built."""

    directories: list[Path]
    arch: str
    parameters: Mapping[str, str]
    found: list[Recipe] = field(default_factory=list)

    def add(self, recipe: Recipe, below: tuple[str, ...]) -> None:
        if any(known.name == recipe.name for known in self.found):
            return
        if recipe.name in below:
            chain = " → ".join((*below[below.index(recipe.name) :], recipe.name))
            raise recipe.error(
                "from",
                f"recipes start from each other: {chain}",
                hint="let one of them start from another, or from a bootstrap",
            )
        if self.arch not in recipe.architectures:
            raise recipe.error(
                "architectures",
                f"{recipe.name} is not for {self.arch}",
                hint=f"add {self.arch} to the list",
            )
        if recipe.parent is not None:
            self.add(self.parent(recipe), (*below, recipe.name))
        self.found.append(recipe)

    def parent(self, recipe: Recipe) -> Recipe:
        try:
            return find_recipe(str(recipe.parent), self.directories, self.arch, self.parameters)
        except InputError:
            raise
        except UsageError as error:
            raise recipe.error("from", error.message, hint=error.hint) from None
