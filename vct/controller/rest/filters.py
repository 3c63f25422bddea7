"""Filters of lists: `?/group/id=1&/name="roof"`, pointers into the object that must all hold.

A view says which pointers it knows and what they are in the database; strings are in double quotes
(doubled inside), numbers, true and false are not. All else is 422, as with the original.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from rest_framework.exceptions import APIException
from rest_framework.filters import BaseFilterBackend
from rest_framework.request import Request

from vct.controller.rest.paging import PAGE, PER_PAGE

if TYPE_CHECKING:  # imports the settings, which name this module
    from rest_framework.views import APIView

RESERVED = {PAGE, PER_PAGE, "show"}
STRING = re.compile(r'"((?:[^"\0]|"")*)"')
NUMBER = re.compile(r"-?[0-9]{1,18}")
WORDS = {"true": True, "false": False}

# by pointer: the look-up, and the type that its values have
Filters = dict[str, tuple[str, type[str] | type[int] | type[bool]]]


class NoSuchFilter(APIException):
    """422: a filter that cannot be meant."""

    status_code = 422


class Pointers(BaseFilterBackend):
    """Asks the view's `filters`."""

    def filter_queryset(
        self, request: Request, queryset: QuerySet[Any], view: APIView
    ) -> QuerySet[Any]:
        known: Filters = getattr(view, "filters", {})
        joins = False
        for pointer, texts in request.query_params.lists():
            if pointer in RESERVED:
                continue
            found = known.get(pointer.strip("/"))
            if found is None:
                words = ", ".join(f"/{name}" for name in known)
                raise NoSuchFilter(f"There is no filter {pointer}; there are {words}.")
            lookup, kind = found
            joins = joins or "/_" in pointer
            for text in texts:
                queryset = queryset.filter(**{lookup: _value(pointer, text, kind)})
        return queryset.distinct() if joins else queryset

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        names = {str: "string in double quotes", int: "number", bool: "true or false"}
        return [
            {
                "name": f"/{pointer}",
                "in": "query",
                "required": False,
                "description": f"A {names[kind]}.",
                "schema": {"type": "string"},
            }
            for pointer, (_, kind) in getattr(view, "filters", {}).items()
        ]


def _value(pointer: str, text: str, kind: type[str] | type[int] | type[bool]) -> object:
    if kind is str and (match := STRING.fullmatch(text)):
        return match[1].replace('""', '"')
    if kind is int and NUMBER.fullmatch(text):
        return int(text)
    if kind is bool and text in WORDS:
        return WORDS[text]
    words = {str: 'a string as "x"', int: "a number", bool: "true or false"}[kind]
    raise NoSuchFilter(f"{pointer} is compared with {words}.")
