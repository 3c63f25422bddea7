"""Values of a YAML tree into a pydantic model, and pydantic's errors into our own words and places.

Serves every file that users write: give it the model and the tree.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from vct.model.problems import Path, Problem, fail
from vct.model.units import WrongValue, shorten
from vct.model.yamltext import Tree, kind_of

M = TypeVar("M", bound=BaseModel)
KEY = "[key]"  # how pydantic says that a mapping's key is wrong, not its value
# Tags of what may be written in two ways; pydantic puts them into an error's path.
MAPPING, OTHER = "<mapping>", "<other>"

_TRUTH = ("must be true or false", "write true or false")
_WHOLE = ("must be a whole number", "write it in digits")
SCALARS = dict.fromkeys(("bool_type", "bool_parsing"), _TRUTH) | dict.fromkeys(
    ("int_type", "int_parsing", "int_from_float"), _WHOLE
)


def validated(model: type[M], value: object, tree: Tree, source: str) -> M:
    """`value` (what `tree` says, perhaps with changes) as a `model`. Raises InputError."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        fail([_problem(model, tree, one) for one in error.errors(include_url=False)], source)
        raise


def suggestion(word: str, known: Collection[str]) -> str:
    """`did you mean delay?` or `known: delay, jitter`."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"


def _problem(model: type[BaseModel], tree: Tree, error: ErrorDetails) -> Problem:
    path = tuple(step for step in error["loc"] if step not in (MAPPING, OTHER))
    message, hint = error["msg"], ""
    at_key = path[-1:] == (KEY,) or error["type"] == "extra_forbidden"
    if path[-1:] == (KEY,):
        path = path[:-1]
    context, value = error.get("ctx", {}), error["input"]
    match error["type"]:
        case "value_error" if isinstance(context.get("error"), WrongValue):
            wrong = context["error"]
            message, hint = wrong.message, wrong.hint
        case "extra_forbidden":
            known = _known_keys(model, path[:-1])
            message, hint = "unknown key", suggestion(str(path[-1]), known)
        case "missing":
            message, hint = "is missing", _example(model, path)
        case "string_type":
            message, hint = _not_text(tree.find(path), value)
        case "literal_error":
            message = f"unknown {path[-1]} {shorten(repr(value))}"
            hint = f"use {context['expected'].replace(chr(39), '')}"
        case "model_type" | "dict_type":
            message = f"must be a mapping, not {kind_of(value)}"
            hint = "write key: value"
        case "list_type":
            message = f"must be a list, not {kind_of(value)}"
            hint = "write [one, two], or a line with a dash for each"
        case "too_short" | "too_long" | "greater_than_equal" | "less_than_equal":
            message, hint = _out_of_range(value, context)
            hint = hint or _example(model, path)
        case kind if kind in SCALARS:
            message, hint = SCALARS[kind]
        case "float_type" | "finite_number":
            message = f"{shorten(tree.find(path).raw or kind_of(value))} is not a number"
            hint = "write it in digits, such as 41.389"
    place = tree.key_place(path) if at_key else tree.find(path).place
    missing = error["type"] == "missing"
    return Problem(place=place, path=path, message=message, hint=hint, missing=missing)


def _not_text(found: Tree, value: object) -> tuple[str, str]:
    if value is None:
        return "has no value", "write one, or remove the key"
    if found.raw is None:
        return f"must be text, not {kind_of(value)}", "write text, in quotes if need be"
    raw = shorten(found.raw)
    return f"{raw} is {kind_of(value)} to YAML, not text", f'write "{raw}"'


def _out_of_range(value: object, context: dict[str, Any]) -> tuple[str, str]:
    if "ge" in context:
        return f"{value} is too little", f"at least {context['ge']}"
    if "le" in context:
        return f"{value} is too much", f"at most {context['le']}"
    return _wrong_length(context), ""


def _wrong_length(context: dict[str, Any]) -> str:
    has = context.get("actual_length")
    if "min_length" in context:
        return f"needs at least {context['min_length']}, has {has}"
    return f"takes at most {context['max_length']}, has {has}"


def _example(model: type[BaseModel], path: Path) -> str:
    owner = _descend(model, path[:-1])
    field = owner.model_fields.get(str(path[-1])) if owner else None
    examples = (field.examples or []) if field else []
    if not examples:
        return ""
    example = examples[0] if isinstance(examples[0], str) else json.dumps(examples[0])
    return f"write {path[-1]}: {example}"


def _known_keys(model: type[BaseModel], path: Path) -> list[str]:
    owner = _descend(model, path)
    return list(owner.model_fields) if owner else []


def _descend(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """The model of the mapping at `path`, found along the annotations."""
    kind: Any = model
    for step in path:
        kind = _plain(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[str(step)].annotation
        elif get_args(kind):
            kind = get_args(kind)[-1]  # of a list its items, of a mapping its values
    kind = _plain(kind)
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _plain(kind: Any) -> Any:
    """The annotation without `Annotated` and `| None`."""
    while get_origin(kind) not in (None, list, dict):
        kind = next(one for one in get_args(kind) if one is not NoneType)
    return kind
