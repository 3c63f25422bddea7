"""Finding recipes: in a checkout, in the installed package, or in a directory of the user's own.

A recipe's parent may be in the user's directory or among ours. Knows nothing of building.
"""

from __future__ import annotations

import difflib
from pathlib import Path

import vct
from vct.errors import InputError, UsageError
from vct.model.recipe import Recipe, load_recipe


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


def find_recipe(name: str, directories: list[Path]) -> Recipe:
    """The recipe of that name. Raises UsageError with the nearest name when there is none."""
    for directory in directories:
        file = directory / f"{name}.yaml"
        if file.is_file():
            return load_recipe(file)
    names = recipe_names(directories)
    close = difflib.get_close_matches(name, names, n=1)
    raise UsageError(
        f"there is no recipe {name}",
        hint=f"did you mean {close[0]}?" if close else f"recipes: {', '.join(names) or 'none'}",
    )


def with_parents(names: list[str], arch: str, directories: list[Path]) -> list[Recipe]:
    """The recipes of these names and all they start from, each once, parents first.

    Raises InputError for a cycle, a missing parent, and an architecture that a recipe has not.
    """
    ordered: list[Recipe] = []
    for name in names:
        _add(find_recipe(name, directories), arch, directories, ordered, ())
    return ordered


def _add(
    recipe: Recipe,
    arch: str,
    directories: list[Path],
    ordered: list[Recipe],
    below: tuple[str, ...],
) -> None:
    if any(known.name == recipe.name for known in ordered):
        return
    if recipe.name in below:
        chain = " → ".join((*below[below.index(recipe.name) :], recipe.name))
        raise recipe.error("from", f"recipes start from each other: {chain}")
    if arch not in recipe.architectures:
        raise recipe.error(
            "architectures", f"{recipe.name} is not for {arch}", hint=f"add {arch} to the list"
        )
    if recipe.parent is not None:
        _add(_parent(recipe, directories), arch, directories, ordered, (*below, recipe.name))
    ordered.append(recipe)


def _parent(recipe: Recipe, directories: list[Path]) -> Recipe:
    try:
        return find_recipe(str(recipe.parent), directories)
    except InputError:
        raise
    except UsageError as error:
        raise recipe.error("from", error.message, hint=error.hint) from None
