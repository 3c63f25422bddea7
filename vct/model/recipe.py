"""Recipes: what a user writes to say how an image is made (DESIGN section 9), as values.

A recipe file is `<image>.yaml`. Its text becomes a frozen Recipe here; every fault in it is an
InputError with file, line, column, key and what would be right. Which recipe starts from which,
and what is built, is `vct.build`'s business.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from vct.errors import InputError

ARCHITECTURES = ("amd64", "i386")
NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(?:=[A-Za-z0-9.+:~-]+)?")  # Debian policy 5.6.7
LATER_KINDS = ("controller", "sliver-template", "vct-container")
LATER_FORMATS = ("tar.zst", "squashfs", "lxc", "incus")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """A root file system made from nothing. `mirror` is `host` (the host's own) or a URL."""

    suite: str
    variant: str
    mirror: str
    components: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A piece of shell text for the new root, and the recipe's line that it stands in."""

    text: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one image is made. Exactly one of `parent` and `bootstrap` is set.

    `files` is a directory whose tree is copied in; `exclude` are dpkg path patterns that packages
    of this and of later layers do not install.
    """

    name: str
    kind: str
    architectures: tuple[str, ...]
    parent: str | None
    bootstrap: Bootstrap | None
    packages: tuple[str, ...]
    exclude: tuple[str, ...]
    files: Path | None
    run: tuple[Command, ...]
    output: str
    source: Path
    places: Mapping[str, tuple[int, int]]

    def error(self, key: str, problem: str, *, hint: str = "") -> InputError:
        """An InputError that points at this recipe's `key`."""
        line, column = self.places.get(key, (1, 1))
        return InputError(
            problem, file=str(self.source), line=line, column=column, key=key, hint=hint
        )


# --- what is allowed in the file -----------------------------------------------------------------


def _name(value: str) -> str:
    if not NAME.fullmatch(value) or len(value) > 64:
        raise ValueError("must be lower-case letters, digits and single dashes, a letter first")
    return value


def _package(value: str) -> str:
    if not PACKAGE.fullmatch(value):
        raise ValueError("is not a Debian package name (or name=version)")
    return value


def _pattern(value: str) -> str:
    if not value.startswith("/") or any(sign in value for sign in "\n\"' \t"):
        raise ValueError("must be an absolute path pattern without blanks, as dpkg's path-exclude")
    return value


def _relative(value: str) -> str:
    path = Path(value)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError("must be a path below the directory that holds recipes/, without ..")
    return value


def _mirror(value: str) -> str:
    if value != "host" and not re.fullmatch(r"(https?|file)://[^\s\[\]]+", value):
        raise ValueError("must be `host` or a URL: http://…, https://… or file://…")
    return value


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Bootstrap(_Strict):
    suite: Annotated[str, Field(pattern=r"^[a-z][a-z0-9.-]*$")]
    variant: Literal["minbase", "apt", "essential", "important", "standard"] = "minbase"
    mirror: Annotated[str, AfterValidator(_mirror)] = "host"
    components: list[Annotated[str, Field(pattern=r"^[a-z][a-z-]*$")]] = Field(
        default=["main"], min_length=1
    )


class _Output(_Strict):
    format: Literal["directory", "tar.zst", "squashfs", "lxc", "incus"] = "directory"


class _Recipe(_Strict):
    name: Annotated[str, AfterValidator(_name)]
    kind: Literal["base", "node", "controller", "sliver-template", "vct-container"]
    architectures: list[Literal["amd64", "i386"]] = Field(default=["amd64"], min_length=1)
    parent: Annotated[str, AfterValidator(_name)] | None = Field(default=None, alias="from")
    bootstrap: _Bootstrap | None = None
    packages: list[Annotated[str, AfterValidator(_package)]] = []
    exclude: list[Annotated[str, AfterValidator(_pattern)]] = []
    files: Annotated[str, AfterValidator(_relative)] | None = None
    run: list[Annotated[str, Field(min_length=1)]] = []
    output: _Output = _Output()

    @model_validator(mode="after")
    def _one_beginning(self) -> _Recipe:
        if (self.parent is None) == (self.bootstrap is None):
            raise ValueError("needs exactly one of `from` and `bootstrap`")
        return self


# --- reading -------------------------------------------------------------------------------------


def load_recipe(file: Path) -> Recipe:
    """The recipe in a file. Raises InputError for anything that is wrong with it."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", file=str(file)) from None
    return parse_recipe(text, file)


def parse_recipe(text: str, file: Path) -> Recipe:
    """The recipe in `text`; `file` names it in errors and is where `files` is looked up from:
    below the directory that holds the recipe's directory."""
    tree = _compose(text, file)
    places = dict(_places(tree, ""))
    try:
        raw = _Recipe.model_validate(_construct(tree, file))
    except ValidationError as error:
        raise _input_error(error, places, file) from None
    recipe = Recipe(
        name=raw.name,
        kind=raw.kind,
        architectures=tuple(raw.architectures),
        parent=raw.parent,
        bootstrap=raw.bootstrap
        and Bootstrap(
            suite=raw.bootstrap.suite,
            variant=raw.bootstrap.variant,
            mirror=raw.bootstrap.mirror,
            components=tuple(raw.bootstrap.components),
        ),
        packages=tuple(raw.packages),
        exclude=tuple(raw.exclude),
        files=file.parent.parent / raw.files if raw.files else None,
        run=tuple(
            Command(text=line, line=places[f"run.{index}"][0]) for index, line in enumerate(raw.run)
        ),
        output=raw.output.format,
        source=file,
        places=places,
    )
    _check(recipe)
    return recipe


def _check(recipe: Recipe) -> None:
    """What the words of the file allow, but this version or the files beside it do not."""
    if recipe.name != recipe.source.stem:
        raise recipe.error(
            "name",
            f"{recipe.name!r} is not the file's name",
            hint=f"write `name: {recipe.source.stem}` or rename the file to {recipe.name}.yaml",
        )
    if recipe.kind in LATER_KINDS:
        raise recipe.error(
            "kind",
            f"{recipe.kind!r} cannot be built yet",
            hint="this version builds the kinds base and node",
        )
    if recipe.output in LATER_FORMATS:
        raise recipe.error(
            "output.format",
            f"{recipe.output!r} cannot be written yet",
            hint="this version writes `directory`",
        )
    if recipe.parent == recipe.name:
        raise recipe.error("from", "a recipe cannot start from itself")
    for key in ("architectures", "packages"):
        values: tuple[str, ...] = getattr(recipe, key)
        for index, value in enumerate(values):
            if value in values[:index]:
                raise recipe.error(f"{key}.{index}", f"{value!r} is named twice")
    if recipe.files is not None and not recipe.files.is_dir():
        raise recipe.error(
            "files",
            f"there is no directory {recipe.files}",
            hint="the path is relative to the directory that holds recipes/",
        )


# --- YAML with places ----------------------------------------------------------------------------


def _compose(text: str, file: Path) -> yaml.Node:
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise InputError(
            f"not YAML: {error.problem or error.context}",
            file=str(file),
            line=mark.line + 1 if mark else None,
            column=mark.column + 1 if mark else None,
        ) from None
    except yaml.YAMLError as error:
        raise InputError(f"not YAML: {error}", file=str(file)) from None
    if not isinstance(tree, yaml.MappingNode):
        raise InputError(
            "must be a mapping, `key: value` lines",
            file=str(file),
            line=1,
            column=1,
            hint="a recipe begins with `name:` and `kind:`",
        )
    return tree


def _places(node: yaml.Node, key: str) -> list[tuple[str, tuple[int, int]]]:
    """Dotted key to 1-based line and column, of the value where there is one."""
    found = [(key, (node.start_mark.line + 1, node.start_mark.column + 1))]
    prefix = f"{key}." if key else ""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            found += _places(value, f"{prefix}{name.value}")
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            found += _places(value, f"{prefix}{index}")
    return found


def _construct(tree: yaml.Node, file: Path) -> dict[str, Any]:
    _refuse_doubles(tree, file, "")
    loader = yaml.SafeLoader("")
    try:
        value: dict[str, Any] = loader.construct_document(tree)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise InputError(
            f"not YAML: {error.problem}",
            file=str(file),
            line=mark.line + 1 if mark else None,
            column=mark.column + 1 if mark else None,
        ) from None
    return value


def _refuse_doubles(node: yaml.Node, file: Path, key: str) -> None:
    """YAML lets the last of two equal keys win in silence; here that is an error."""
    prefix = f"{key}." if key else ""
    if isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _refuse_doubles(value, file, f"{prefix}{index}")
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for name, value in node.value:
        if str(name.value) in seen:
            raise InputError(
                "is written twice",
                file=str(file),
                line=name.start_mark.line + 1,
                column=name.start_mark.column + 1,
                key=f"{prefix}{name.value}",
                hint="keep one of them",
            )
        seen.add(str(name.value))
        _refuse_doubles(value, file, f"{prefix}{name.value}")


def _input_error(
    error: ValidationError, places: Mapping[str, tuple[int, int]], file: Path
) -> InputError:
    """Pydantic's first complaint, in our words and with its place in the file."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    place = key
    while place and place not in places:
        place = place.rpartition(".")[0]
    line, column = places[place]
    problem, hint = first["msg"].removeprefix("Value error, "), ""
    if first["type"] == "extra_forbidden":
        known = _known_keys(key)
        problem = "unknown key"
        close = difflib.get_close_matches(key.rpartition(".")[2], known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known keys: {', '.join(known)}"
    elif first["type"] == "missing":
        problem = "is missing"
        hint = f"add a line `{key.rpartition('.')[2]}: …`"
    elif isinstance(first["input"], str):
        problem = f"{first['input']!r}: {problem}"
    return InputError(problem, file=str(file), line=line, column=column, key=key, hint=hint)


def _known_keys(key: str) -> list[str]:
    shapes: dict[str, type[BaseModel]] = {"bootstrap": _Bootstrap, "output": _Output}
    shape = shapes.get(key.rpartition(".")[0], _Recipe)
    return [field.alias or name for name, field in shape.model_fields.items()]
