"""Recipes: what a user writes to say how an image is made (DESIGN section 9), as values.

A recipe file is `<image>.yaml`. Its text becomes a frozen Recipe here; every fault in it is an
InputError with file, line, column, key and what would be right. Which recipe starts from which,
and what is built, is `vct.build`'s business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model

from vct.errors import InputError
from vct.model.problems import Place, render_path
from vct.model.units import WrongValue, shorten
from vct.model.validate import suggestion, validated
from vct.model.yamltext import Tree, kind_of, parse_tree, read_text

ARCHITECTURES = ("amd64", "i386")
KINDS = ("base", "node")
LATER_KINDS = ("controller", "sliver-template", "vct-container")
LATER_FORMATS = ("tar.zst", "squashfs", "lxc", "incus")
NAME_MAX = 63
EXAMPLE = "begin with:\nname: node-mine\nkind: node\nfrom: node-debian\npackages: [tinc]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """A root file system made from nothing. `mirror` is `host` (the host's own) or a URL."""

    suite: str
    variant: str
    mirror: str
    components: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one image is made. Exactly one of `parent` and `bootstrap` is set.

    `exclude` are dpkg path patterns that packages of this and of later layers do not install;
    `files` is a directory whose tree is copied in; `run` are pieces of shell text for the new root.
    `places` says where in `source` each key stands: `run[0]`.
    """

    name: str
    kind: str
    architectures: tuple[str, ...]
    parent: str | None
    bootstrap: Bootstrap | None
    packages: tuple[str, ...]
    exclude: tuple[str, ...]
    files: Path | None
    run: tuple[str, ...]
    output: str
    source: Path
    places: Mapping[str, Place]

    def error(self, key: str, problem: str, *, hint: str = "") -> InputError:
        """An InputError that points at this recipe's `key`."""
        line, column = self.places.get(key, Place(1, 1))
        return InputError(
            problem, file=str(self.source), line=line, column=column, key=key, hint=hint
        )


# --- what may be written -------------------------------------------------------------------------


def _matching(pattern: str, noun: str, hint: str, most: int = 255) -> AfterValidator:
    compiled = re.compile(pattern)

    def checked(text: str) -> str:
        if not compiled.fullmatch(text) or len(text) > most:
            raise WrongValue(f"{shorten(text)!r} is not {noun}", hint=hint)
        return text

    return AfterValidator(checked)


def _one_of(known: tuple[str, ...], later: tuple[str, ...], noun: str) -> AfterValidator:
    """One of `known`; `later` are words of the format that this version has no work for."""

    def checked(text: str) -> str:
        if text in later:
            words = " or ".join(known)
            raise WrongValue(f"{noun} {text} cannot be made yet", hint=f"this version has {words}")
        if text not in known:
            raise WrongValue(f"unknown {noun} {shorten(text)!r}", hint=suggestion(text, known))
        return text

    return AfterValidator(checked)


def _unique(noun: str) -> AfterValidator:
    def checked(values: list[str]) -> list[str]:
        for index, value in enumerate(values):
            if value in values[:index]:
                raise WrongValue(f"has the {noun} {shorten(value)} twice", hint="keep one of them")
        return values

    return AfterValidator(checked)


def _below(text: str) -> str:
    path = Path(text)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in text:
        raise WrongValue(
            f"{shorten(text)!r} is not a path below the directory that holds recipes/",
            hint="write such as images/node-debian",
        )
    return text


def _written(text: str) -> str:
    if not text.strip():
        raise WrongValue("is empty", hint="write a shell command, or remove the line")
    return text


Name = Annotated[
    str,
    _matching(
        r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*",
        "an image name",
        "use lower-case letters, digits and single dashes, a letter first",
        NAME_MAX,
    ),
]
Package = Annotated[
    str,
    _matching(  # Debian policy 5.6.7 and 5.6.12
        r"[a-z0-9][a-z0-9+.-]+(?:=[0-9][A-Za-z0-9.+:~-]*)?",
        "a Debian package",
        "write its name, or name=version",
    ),
]
Pattern = Annotated[
    str,
    _matching(
        r"/[^\s\"'\\]+",
        "a path pattern",
        "write an absolute path as in dpkg's path-exclude, such as /usr/share/man/*",
    ),
]
Suite = Annotated[
    str, _matching(r"[a-z][a-z0-9.-]*", "a suite", "write a release's code name, such as bookworm")
]
Mirror = Annotated[
    str,
    _matching(
        r"host|https?://[^\s\[\]]+",
        "a mirror",
        "write host for the one that this host's apt uses, or a URL",
    ),
]
Component = Annotated[str, _matching(r"[a-z][a-z-]*", "a component", "write such as main")]


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _WrittenBootstrap(_Written):
    suite: Suite = Field(examples=["bookworm"])
    variant: Literal["minbase", "apt", "essential", "important", "standard"] = "minbase"
    mirror: Mirror = "host"
    components: Annotated[list[Component], Field(min_length=1, examples=["[main]"])] = ["main"]


class _WrittenOutput(_Written):
    format: Annotated[str, _one_of(("directory",), LATER_FORMATS, "format")] = "directory"


class _WrittenRecipe(_Written):
    name: Name = Field(examples=["node-mine"])
    kind: Annotated[str, _one_of(KINDS, LATER_KINDS, "kind")] = Field(examples=["node"])
    architectures: Annotated[
        list[Annotated[str, _one_of(ARCHITECTURES, (), "architecture")]],
        _unique("architecture"),
        Field(min_length=1, examples=["[amd64, i386]"]),
    ] = list(ARCHITECTURES)
    bootstrap: _WrittenBootstrap | None = None
    packages: Annotated[list[Package], _unique("package")] = []
    exclude: list[Pattern] = []
    files: Annotated[str, AfterValidator(_below)] | None = None
    run: list[Annotated[str, AfterValidator(_written)]] = []
    output: _WrittenOutput = _WrittenOutput()


# `from` cannot be written as a name in Python
_WithFrom: Any = create_model("_WithFrom", __base__=_WrittenRecipe, **{"from": (Name | None, None)})  # type: ignore[call-overload]


# --- reading -------------------------------------------------------------------------------------


def load_recipe(file: Path) -> Recipe:
    """The recipe in a file. Raises InputError for anything that is wrong with it."""
    return parse_recipe(read_text(file), file)


def parse_recipe(text: str, file: Path) -> Recipe:
    """As load_recipe, from text. `file` gives the recipe its name and is what messages call it;
    the tree of `files` is looked up below the directory that holds the recipe's directory."""
    tree = parse_tree(text, str(file))
    if tree is None or not isinstance(tree.value, dict):
        problem = "has nothing in it"
        if tree is not None and tree.value is not None:
            problem = f"must be a mapping, not {kind_of(tree.value)}"
        raise InputError(problem, file=str(file), line=1, column=1, hint=EXAMPLE)
    written = validated(_WithFrom, tree.value, tree, str(file))
    recipe = _resolve(written, getattr(written, "from"), tree, file)
    for check in CHECKS:
        check(recipe)
    return recipe


def _resolve(written: _WrittenRecipe, parent: str | None, tree: Tree, file: Path) -> Recipe:
    bootstrap = written.bootstrap
    return Recipe(
        name=written.name,
        kind=written.kind,
        architectures=tuple(written.architectures),
        parent=parent,
        bootstrap=None
        if bootstrap is None
        else Bootstrap(
            suite=bootstrap.suite,
            variant=bootstrap.variant,
            mirror=bootstrap.mirror,
            components=tuple(bootstrap.components),
        ),
        packages=tuple(written.packages),
        exclude=tuple(written.exclude),
        files=file.parent.parent / written.files if written.files else None,
        run=tuple(written.run),
        output=written.output.format,
        source=file,
        places=dict(_places(tree, ())),
    )


def _places(tree: Tree, path: tuple[str | int, ...]) -> list[tuple[str, Place]]:
    found = [(render_path(path), tree.place)]
    for step, child in tree.children.items():
        found += _places(child, (*path, step))
    return found


# --- what keys mean together ---------------------------------------------------------------------


def _check_name(recipe: Recipe) -> None:
    if recipe.name != recipe.source.stem:
        raise recipe.error(
            "name",
            f"{recipe.name} is not the file's name",
            hint=f"write name: {recipe.source.stem}, or rename the file to {recipe.name}.yaml",
        )


def _check_beginning(recipe: Recipe) -> None:
    if recipe.parent == recipe.name:
        raise recipe.error(
            "from", "a recipe cannot start from itself", hint="name another, such as base-debian"
        )
    if recipe.parent is None and recipe.bootstrap is None:
        raise recipe.error(
            "",
            "neither from nor bootstrap is there",
            hint="write from: base-debian, or bootstrap: {suite: bookworm}",
        )
    if recipe.parent is not None and recipe.bootstrap is not None:
        raise recipe.error("bootstrap", "from is there too", hint="keep one of the two")


def _check_files(recipe: Recipe) -> None:
    if recipe.files is not None and not recipe.files.is_dir():
        raise recipe.error(
            "files",
            f"there is no directory {recipe.files}",
            hint="the path is relative to the directory that holds recipes/",
        )


CHECKS: tuple[Callable[[Recipe], None], ...] = (_check_name, _check_beginning, _check_files)
