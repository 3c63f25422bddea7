"""YAML text to plain values, knowing for each where it stands. For every file that users write.

Only what such a file needs is read: mappings with text keys, lists, text, numbers, true and false.
Duplicate keys, aliases, tags and merge keys are problems. It works on parser events, without
recursion: PyYAML's C composer overflows the stack on deeply nested input.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from vct.errors import InputError
from vct.model.problems import Path as KeyPath
from vct.model.problems import Place, Problem, fail

DEPTH_MAX = 16
NUMBER_MAX = 64
Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
TAG = "tag:yaml.org,2002:"
CONVERTED = frozenset(TAG + kind for kind in ("int", "float", "bool", "null"))


@dataclass(slots=True)
class Tree:
    """A value and where it stands. `raw` is a scalar's text as written."""

    place: Place
    value: Any = None
    raw: str | None = None
    children: dict[str | int, Tree] = field(default_factory=dict)
    key_places: dict[str, Place] = field(default_factory=dict)

    def find(self, path: KeyPath) -> Tree:
        """The tree at `path`, or as far along it as there is anything."""
        tree = self
        for step in path:
            if step not in tree.children:
                break
            tree = tree.children[step]
        return tree

    def key_place(self, path: KeyPath) -> Place:
        """Where the last key of `path` stands; a list's item has no key but itself."""
        parent = self.find(path[:-1])
        return parent.key_places.get(str(path[-1]), self.find(path).place)


def parse_tree(text: str, source: str) -> Tree | None:
    """The one document in `text`; None when it is empty. Raises InputError.

    Problems that leave the text readable are collected: the first one is reported, with the
    number of the others.
    """
    if match := FORBIDDEN.search(text):
        before = text[: match.start()]
        raise InputError(
            f"has the control character U+{ord(match[0]):04X}",
            file=source,
            line=before.count("\n") + 1,
            column=len(before) - before.rfind("\n"),
            hint="this is no text file, or it was damaged",
        )
    builder = _Builder(source)
    loader = Loader(text)
    try:
        for event in _events(loader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text, source) from None
    finally:
        loader.dispose()
    fail(builder.problems, source)
    return builder.root


def _events(loader: Any) -> Iterator[yaml.Event]:
    while loader.check_event():
        yield loader.get_event()


class _Builder:
    """Takes parser events one by one and builds the tree; `stack` is the open collections."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.root: Tree | None = None
        self.problems: list[Problem] = []
        self.stack: list[Tree] = []
        self.path: list[str | int] = []
        self.keys: list[str | None] = []  # per open collection, the key that waits for its value
        self.scalars: Any = yaml.SafeLoader("")  # for its resolver and constructors only

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.DocumentStartEvent() if self.root is not None:
                self.stop(event, "has more than one document", "keep one, remove the ---")
            case yaml.ScalarEvent():
                self.scalar(event)
            case yaml.AliasEvent():
                self.problem(event, "aliases are not supported", "write the values out")
                self.add(Tree(place_of(event)))
            case yaml.CollectionStartEvent():
                self.open(event)
            case yaml.CollectionEndEvent():
                self.stack.pop()
                self.keys.pop()
                if self.path:
                    self.path.pop()

    def open(self, event: yaml.CollectionStartEvent) -> None:
        if len(self.stack) >= DEPTH_MAX:
            self.stop(event, "is nested too deeply", f"at most {DEPTH_MAX} levels make sense")
        if self.wants_key():
            self.stop(event, "a key must be text", "write key: value")
        self.check_tag(event)
        tree = Tree(place_of(event), {} if isinstance(event, yaml.MappingStartEvent) else [])
        step = self.add(tree)
        if step is not None:
            self.path.append(step)
        self.stack.append(tree)
        self.keys.append(None)

    def wants_key(self) -> bool:
        return bool(self.stack) and isinstance(self.stack[-1].value, dict) and self.keys[-1] is None

    def scalar(self, event: yaml.ScalarEvent) -> None:
        tree = Tree(place_of(event), self.value_of(event), event.value)
        if not self.wants_key():
            self.add(tree)
            return
        key, keys = event.value, self.stack[-1].key_places
        if key == "<<" and event.implicit[0]:
            self.problem(event, "merge keys (<<) are not supported", "write the keys out", key)
        elif not isinstance(tree.value, str):
            kind = kind_of(tree.value)
            self.problem(event, f"this key is {kind} to YAML, not text", f'write "{key}":', key)
        elif key in keys:
            self.problem(
                event, "is here twice", f"the first is on line {keys[key].line}; keep one", key
            )
        keys.setdefault(key, tree.place)
        self.keys[-1] = key

    def value_of(self, event: yaml.ScalarEvent) -> object:
        if not event.implicit[0] or event.style not in (None, ""):
            self.check_tag(event)
            return event.value
        tag = self.scalars.resolve(yaml.ScalarNode, event.value, (True, False))
        if tag not in CONVERTED:
            return event.value
        try:
            if len(event.value) > NUMBER_MAX:
                raise ValueError
            return self.scalars.construct_object(yaml.ScalarNode(tag, event.value))
        except ValueError:
            self.problem(event, "is no number that makes sense", "quote it if it is text")
            return None

    def check_tag(self, event: yaml.NodeEvent) -> None:
        tag = getattr(event, "tag", None)
        if tag not in (None, "!", TAG + "str", TAG + "map", TAG + "seq"):
            name = tag.replace(TAG, "!!")
            self.problem(event, f"tags ({name}) are not supported", "remove the tag")

    def add(self, tree: Tree) -> str | int | None:
        """Put a value into the innermost collection; returns its key or index there."""
        if not self.stack:
            self.root = tree
            return None
        parent, step = self.stack[-1], self.step()
        if isinstance(parent.value, dict):
            parent.value[step] = tree.value
            self.keys[-1] = None
        else:
            parent.value.append(tree.value)
        parent.children[step] = tree
        return step

    def step(self) -> str | int:
        parent = self.stack[-1]
        return self.keys[-1] or "" if isinstance(parent.value, dict) else len(parent.value)

    def problem(self, event: yaml.Event, message: str, hint: str, key: str | None = None) -> None:
        step = [key] if key is not None else [self.step()] if self.stack else []
        path = (*self.path, *step)
        self.problems.append(Problem(place=place_of(event), path=path, message=message, hint=hint))

    def stop(self, event: yaml.Event, message: str, hint: str) -> None:
        """A problem after which reading on makes no sense."""
        place = place_of(event)
        self.problems.append(
            Problem(place=place, path=tuple(self.path), message=message, hint=hint)
        )
        fail(self.problems, self.source)


def place_of(event: yaml.Event) -> Place:
    """Where an event begins, counted from 1."""
    mark: Any = event.start_mark  # a parser's event always has one
    return Place(mark.line + 1, mark.column + 1)


def kind_of(value: object) -> str:
    """What YAML takes a value for, with its article."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "a mapping"


def _syntax_error(error: yaml.MarkedYAMLError, text: str, source: str) -> InputError:
    problem, hint = error.problem or "cannot be read", ""
    mark, began = error.problem_mark, error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    written = (text.split("\n")[line : line + 1] or [""])[0]
    indentation = written[: len(written) - len(written.lstrip())]
    first = written[column : column + 1]
    if "\t" in (first, *indentation):
        problem, hint = "a tab where YAML wants spaces", "indent with spaces"
    elif first in ("@", "`", "%") and "start any token" in problem:
        problem, hint = f"text cannot begin with {first}", "put it in quotes"
    elif began and began.line != line:
        hint = f"{error.context} that begins on line {began.line + 1}"
    return InputError(
        f"not YAML: {problem}",
        file=source,
        line=line + 1,
        column=column + 1,
        hint=hint or "check quotes, brackets, colons and indentation there",
    )
