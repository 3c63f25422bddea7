"""Parameters of recipes: `${name}` in what a user writes, and what it stands for.

Works on a parsed file before its values are checked, so a parameter may be a part of any text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from vct.errors import InputError
from vct.model.problems import render_path
from vct.model.recipe_written import PARAMETER
from vct.model.validate import suggestion
from vct.model.yamltext import Tree

REFERENCE = re.compile(r"\$(\$)?\{([^}]*)\}")


class UnsetError(InputError):
    """A recipe has parameters without a value (null), and none was given for `names`."""

    def __init__(self, names: tuple[str, ...], tree: Tree, source: str) -> None:
        place = tree.find(("parameters", names[0])).place
        settings = " ".join(f"--set {name}=…" for name in names)
        super().__init__(
            f"needs {settings}",
            file=source,
            line=place.line,
            column=place.column,
            key="parameters",
            hint=f"what to write there is said in {source}",
        )
        self.names = names


def check_all_set(tree: Tree, given: Mapping[str, str], source: str) -> None:
    """Raise UnsetError when a parameter that is null in the recipe is not given."""
    declared = tree.find(("parameters",))
    if declared is tree or not isinstance(declared.value, dict):
        return
    unset = tuple(
        name
        for name, child in declared.children.items()
        if isinstance(name, str) and child.value is None and not given.get(name)
    )
    if unset:
        raise UnsetError(unset, tree, source)


def parameters_of(tree: Tree, given: Mapping[str, str]) -> dict[str, str]:
    """The recipe's parameters with the given values. What is no text is refused later, by type."""
    declared = tree.find(("parameters",))
    if declared is tree or not isinstance(declared.value, dict):
        return {}
    own = {
        name: child.raw or "" if isinstance(child.value, bool | int | float) else str(child.value)
        for name, child in declared.children.items()
        if isinstance(name, str)
    }
    return {name: given.get(name, value) for name, value in own.items()}


def filled(
    tree: Tree, path: tuple[str | int, ...], values: Mapping[str, str], source: str
) -> object:
    """The tree's value with `${name}` replaced everywhere but in `parameters`.

    In commands, what names no parameter is left to the shell; `$${` is always a plain `${`.
    """
    if path[:1] == ("parameters",):
        return tree.value
    if isinstance(tree.value, dict):
        return {
            key: filled(child, (*path, key), values, source) for key, child in tree.children.items()
        }
    if isinstance(tree.value, list):
        return [filled(child, (*path, key), values, source) for key, child in tree.children.items()]
    if not isinstance(tree.value, str):
        return tree.value
    shell = path[:1] == ("run",)

    def replace(match: re.Match[str]) -> str:
        if match[1]:
            return match[0][1:] if not shell else match[0]
        if match[2] in values:
            return values[match[2]]
        if shell:
            return match[0]
        known = re.fullmatch(PARAMETER, match[2]) and suggestion(match[2], list(values))
        raise InputError(
            f"there is no parameter {match[2]!r}",
            file=source,
            line=tree.place.line,
            column=tree.place.column,
            key=render_path(path),
            hint=known or "declare it below parameters:, or write $${ for a plain ${",
        )

    return REFERENCE.sub(replace, tree.value)
