"""Recipes: what a user writes to say how an image is made (DESIGN section 9), as values.

A recipe file is `<image>.yaml`. Its text becomes a frozen Recipe for one architecture here, with
its parameters filled in; every fault in it is an InputError with file, line, column, key and what
would be right. Which recipe starts from which, and what is built, is `vct.build`'s business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vct.errors import InputError
from vct.model.parameters import check_all_set, filled, parameters_of
from vct.model.problems import Place, render_path
from vct.model.recipe_written import (
    ARCHITECTURES,
    FETCHED,
    FORMATS,
    KINDS,
    WrittenFetch,
    WrittenPackages,
    WrittenRecipe,
    WrittenRun,
)
from vct.model.textfile import read_text
from vct.model.validate import suggestion, validated
from vct.model.yamltext import Tree, kind_of, parse_tree

__all__ = [
    "ARCHITECTURES",
    "FORMATS",
    "KINDS",
    "Bootstrap",
    "Fetch",
    "Recipe",
    "Run",
    "load_recipe",
    "parse_recipe",
    "recipe_schema",
]

EXAMPLE = "begin with:\nname: node-mine\nkind: node\nfrom: node-debian\npackages: [tinc]"
HOOKS = "hooks"  # the directory in images/<name>/ that holds hooks, and is not copied in
BEGINNINGS = ("from", "bootstrap", "fetch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """A root file system made from nothing. `mirror` is `host`, `archive` or a URL.

    `keyring` is a file's path or name, "" for the suite's usual one; `check_dates` None is the
    suite's usual way.
    """

    suite: str
    variant: str
    mirror: str
    components: tuple[str, ...]
    keyring: str = ""
    check_dates: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """A root file system from a URL: an archive (`strip` leading path parts go), or a squashfs.

    `size_max_mib` is what it may have unpacked.
    """

    url: str
    sha256: str
    format: str
    strip: int
    size_max_mib: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A piece of shell text for the new root. `key` is the recipe's key: `run[0]`, `hooks[1]`."""

    text: str
    key: str
    network: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one image is made for `arch`. One of `parent`, `bootstrap` and `fetch` is set.

    `exclude` are dpkg path patterns that packages of this and of later layers do not install;
    `files` is a directory whose tree is copied in. Wheels go to usr/share/vct/wheels: vct's own if
    `own_wheel`, and those that the files `wheel_lists` name; vct's own `modules` go in as files.
    `run` has commands, then hooks. `parameters` are the values that were used. `places` says where
    in `source` a key stands.
    """

    name: str
    kind: str
    version: str = "1"
    arch: str
    architectures: tuple[str, ...]
    parameters: Mapping[str, str]
    parent: str | None
    bootstrap: Bootstrap | None
    fetch: Fetch | None
    packages: tuple[str, ...]
    exclude: tuple[str, ...]
    files: Path | None
    own_wheel: bool = False
    wheel_lists: tuple[Path, ...] = ()
    modules: tuple[str, ...] = ()
    run: tuple[Run, ...]
    output: str
    compression: int
    source: Path
    places: Mapping[str, Place]

    def error(self, key: str, problem: str, *, hint: str = "") -> InputError:
        """An InputError that points at this recipe's `key`."""
        line, column = self.places.get(key, Place(1, 1))
        return InputError(
            problem, file=str(self.source), line=line, column=column, key=key, hint=hint
        )


# --- reading -------------------------------------------------------------------------------------


def load_recipe(
    file: Path, arch: str = ARCHITECTURES[0], parameters: Mapping[str, str] | None = None
) -> Recipe:
    """The recipe in a file. Raises InputError for anything that is wrong with it.

    `parameters` go before the recipe's own values; those that it does not have are left aside.
    """
    return parse_recipe(read_text(file), file, arch, parameters)


def parse_recipe(
    text: str,
    file: Path,
    arch: str = ARCHITECTURES[0],
    parameters: Mapping[str, str] | None = None,
) -> Recipe:
    """As load_recipe, from text. `file` gives the recipe its name and is what messages call it;
    the tree of `files` is looked up below the directory that holds the recipe's directory."""
    tree = parse_tree(text, str(file))
    if tree is None or not isinstance(tree.value, dict):
        problem = "has nothing in it"
        if tree is not None and tree.value is not None:
            problem = f"must be a mapping, not {kind_of(tree.value)}"
        raise InputError(problem, file=str(file), line=1, column=1, hint=EXAMPLE)
    check_all_set(tree, parameters or {}, str(file))
    values = parameters_of(tree, parameters or {})
    value = filled(tree, (), values | {"arch": arch}, str(file))
    written = validated(WrittenRecipe, value, tree, str(file))
    return _Reading(written, tree, file, arch, values).recipe()


def recipe_schema() -> dict[str, Any]:
    """The JSON Schema of recipe files."""
    schema: dict[str, Any] = WrittenRecipe.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "vct recipe",
        "description": "How an image is made. Text may hold ${name} for a parameter.",
        "oneOf": [{"required": [key]} for key in BEGINNINGS],
    }


# --- meaning -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Reading:
    """One recipe on its way from what is written to what it means."""

    written: Any
    tree: Tree
    file: Path
    arch: str
    parameters: Mapping[str, str]

    def recipe(self) -> Recipe:
        written = self.written
        self.check_fetch(written.fetch, written.architectures)
        found = Recipe(
            name=written.name,
            kind=written.kind,
            version=written.version,
            arch=self.arch,
            architectures=tuple(written.architectures),
            parameters=self.parameters,
            parent=getattr(written, "from"),
            bootstrap=self.bootstrap(),
            fetch=self.fetch(),
            packages=tuple(self.packages()),
            exclude=tuple(written.exclude),
            files=self.file.parent.parent / written.files if written.files else None,
            own_wheel="vct" in written.wheels,
            wheel_lists=tuple(
                self.file.parent.parent / wheel for wheel in written.wheels if wheel != "vct"
            ),
            modules=tuple(written.modules),
            run=(*self.commands(), *self.hooks()),
            output=written.output.format,
            compression=written.output.compression,
            source=self.file,
            places=dict(_places(self.tree, ())),
        )
        for check in CHECKS:
            check(found)
        return found

    def error(self, path: tuple[str | int, ...], problem: str, hint: str = "") -> InputError:
        place = self.tree.find(path).place
        return InputError(
            problem,
            file=str(self.file),
            line=place.line,
            column=place.column,
            key=render_path(path),
            hint=hint,
        )

    def bootstrap(self) -> Bootstrap | None:
        written = self.written.bootstrap
        return written and Bootstrap(
            suite=written.suite,
            variant=written.variant,
            mirror=written.mirror,
            components=tuple(written.components),
            keyring=written.keyring or "",
            check_dates=written.check_dates,
        )

    def check_fetch(self, written: WrittenFetch | None, architectures: list[str]) -> None:
        if written is None:
            return
        if isinstance(written.url, str):
            if written.sha256 is None:
                raise self.error(("fetch",), "sha256 is missing", "write what sha256sum prints")
        elif written.sha256 is not None:
            raise self.error(("fetch", "sha256"), "each url has its own", "remove this one")
        for arch in architectures:
            if isinstance(written.url, dict) and arch not in written.url:
                raise self.error(
                    ("fetch", "url"), f"there is none for {arch}", "add it, or narrow architectures"
                )

    def fetch(self) -> Fetch | None:
        written = self.written.fetch
        if written is None:
            return None
        one = written.url if isinstance(written.url, str) else written.url.get(self.arch)
        if one is None:  # not for this architecture: told by whoever asks for it
            one = next(iter(written.url.values()))
        url, sha256 = (one, written.sha256) if isinstance(one, str) else (one.url, one.sha256)
        kind = written.format or _guessed(url)
        if not kind:
            raise self.error(
                ("fetch", "url"),
                "its name does not say what it is",
                f"write format: {' | '.join(FETCHED)}",
            )
        return Fetch(
            url=url,
            sha256=sha256,
            format=kind,
            strip=written.strip,
            size_max_mib=written.size_max,
        )

    def packages(self) -> Iterator[str]:
        """The packages for this architecture, sets unfolded, each once."""
        written = self.written.packages
        parts: list[tuple[tuple[str, ...], list[str]]] = [((), written)]
        if isinstance(written, WrittenPackages):
            parts = [(("all",), written.all), ((self.arch,), getattr(written, self.arch))]
        seen: set[str] = set()
        for part, listed in parts:
            for index, item in enumerate(listed):
                for package in self.unfolded(item, ("packages", *part, index), ()):
                    if package not in seen:
                        seen.add(package)
                        yield package

    def unfolded(
        self, item: str, path: tuple[str | int, ...], above: tuple[str, ...]
    ) -> Iterator[str]:
        kind, _, name = item.partition(":")
        if kind != "set":
            yield item
            return
        sets = self.written.package_sets
        if name not in sets:
            known = suggestion(name, list(sets)) if sets else "declare it below package_sets:"
            raise self.error(path, f"there is no package set {name}", known)
        if name in above:
            chain = " → ".join((*above, name))
            raise self.error(path, f"package sets hold each other: {chain}", "break the circle")
        for index, inner in enumerate(sets[name]):
            inside = ("package_sets", name, index)
            yield from self.unfolded(inner, inside, (*above, name))

    def commands(self) -> Iterator[Run]:
        for index, item in enumerate(self.written.run):
            key = f"run[{index}]"
            if isinstance(item, WrittenRun):
                yield Run(text=item.command, key=key, network=item.network)
            else:
                yield Run(text=item, key=key)

    def hooks(self) -> Iterator[Run]:
        """Hooks are files of shell text in images/<name>/hooks: run as commands, after them."""
        directory = self.file.parent.parent / "images" / self.written.name / HOOKS
        for index, name in enumerate(self.written.hooks):
            path = directory / name
            if not path.is_file():
                raise self.error(("hooks", index), f"there is no file {path}", "add it")
            text = read_text(path)
            if text.startswith("#!") and not re.match(r"#! ?/bin/sh\b", text):
                raise self.error(
                    ("hooks", index), f"{path} is not for /bin/sh", "hooks are shell text"
                )
            yield Run(text=text, key=f"hooks[{index}]")


def _guessed(url: str) -> str:
    name = url.partition("?")[0].partition("#")[0]
    ends = {".tgz": "tar.gz", ".txz": "tar.xz", ".tzst": "tar.zst", ".sqfs": "squashfs"}
    ends |= {f".{kind}": kind for kind in FETCHED}
    return next((kind for end, kind in ends.items() if name.endswith(end)), "")


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
    found = [key for key in BEGINNINGS if key in recipe.places]
    if not found:
        raise recipe.error(
            "",
            "none of from, bootstrap and fetch is there",
            hint="write from: base-debian, or bootstrap: {suite: bookworm}",
        )
    if len(found) > 1:
        raise recipe.error(found[1], f"{found[0]} is there too", hint="keep one of the two")


def _check_files(recipe: Recipe) -> None:
    if recipe.files is not None and not recipe.files.is_dir():
        raise recipe.error(
            "files",
            f"there is no directory {recipe.files}",
            hint="the path is relative to the directory that holds recipes/",
        )


def _check_wheels(recipe: Recipe) -> None:
    for path in recipe.wheel_lists:
        if not path.is_file():
            raise recipe.error("wheels", f"there is no file {path}", hint="add it")


CHECKS: tuple[Callable[[Recipe], None], ...] = (
    _check_name,
    _check_beginning,
    _check_files,
    _check_wheels,
)
