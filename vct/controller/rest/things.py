"""Serializers of objects: members, and how they are written.

REST framework checks shapes; the model's `save` checks everything else and is the authority. Parts
that are rows of their own (roles, interfaces, tinc) are written after the object by `write_<part>`.
Called inside a transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db.models import Model
from rest_framework import serializers
from rest_framework.request import Request

from vct.controller import permissions
from vct.controller.policy import SUPERUSER_MEMBERS, Action
from vct.controller.rest.problems import texts_of


class Thing(serializers.Serializer[Any]):
    """The base of all. `fixed` members are read-only once the object is there."""

    model: ClassVar[type[Model]]
    parts: ClassVar[tuple[str, ...]] = ()
    fixed: ClassVar[tuple[str, ...]] = ()

    @property
    def request(self) -> Request:
        found: Request = self.context["request"]
        return found

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        if isinstance(self.instance, Model):
            for name in self.fixed:
                fields[name].read_only, fields[name].required = True, False
        return fields

    def create(self, validated_data: dict[str, Any]) -> Any:
        """Raises ForbiddenError, ValidationError."""
        parts = self._take_parts(validated_data)
        instance = self.build(self.flat(validated_data, None))
        permissions.require(self.request, Action.CREATE, instance)
        self._require_members(type(instance)(), validated_data)
        instance.save()
        self._write(instance, parts)
        return instance

    def update(self, instance: Any, validated_data: dict[str, Any]) -> Any:
        """Raises ForbiddenError, ValidationError, ConflictError."""
        parts = self._take_parts(validated_data)
        self._require_members(instance, validated_data)
        for name, value in self.flat(validated_data, instance).items():
            setattr(instance, name, value)
        instance.save()
        self._write(instance, parts)
        return instance

    def build(self, values: dict[str, Any]) -> Any:
        """The unsaved object."""
        return self.model(**values)

    def flat(self, values: dict[str, Any], instance: Any) -> dict[str, Any]:
        """Validated members as the model's fields; `instance` is None for a new object."""
        return values

    def _take_parts(self, values: dict[str, Any]) -> dict[str, Any]:
        return {name: values.pop(name) for name in self.parts if name in values}

    def _write(self, instance: Any, parts: dict[str, Any]) -> None:
        for name, value in parts.items():
            getattr(self, f"write_{name}")(instance, value)

    def _require_members(self, before: Model, values: dict[str, Any]) -> None:
        kind = permissions.KINDS.get(type(before))
        watched = SUPERUSER_MEMBERS.get(kind, frozenset()) if kind else frozenset()
        changed = {
            name for name in watched & values.keys() if getattr(before, name) != values[name]
        }
        permissions.require_members(self.request, before, changed)


class Elements(serializers.ListSerializer[Any]):
    """What is wrong is said for each element, `{}` for good ones."""

    def to_internal_value(self, data: Any) -> Any:
        try:
            return super().to_internal_value(data)
        except serializers.ValidationError as error:
            wrong: Any = error.detail
            if not isinstance(wrong, dict) or not all(isinstance(at, int) for at in wrong):
                raise
            each = [wrong.get(at, {}) for at in range(len(data))]
            raise serializers.ValidationError(each) from error


class Element(serializers.Serializer[Any]):
    """An element of an array: arrays are written whole, so it is complete in a PATCH as well."""

    class Meta:
        list_serializer_class = Elements

    def to_internal_value(self, data: Any) -> Any:
        found = super().to_internal_value(data)
        missing = [field for field in self._writable_fields if field.field_name not in data]
        lacking = [str(field.field_name) for field in missing if field.required]
        if lacking:
            raise serializers.ValidationError({name: ["This is required."] for name in lacking})
        for field in missing:
            if field.default is not serializers.empty:
                found.setdefault(str(field.source), field.default)
        return found


@contextmanager
def problems_of(member: str) -> Iterator[None]:
    """What a part's model refuses is said about the member that it is in."""
    try:
        yield
    except ValidationError as error:
        texts = texts_of(error)
        own = texts.pop("__all__", None)
        raise serializers.ValidationError({member: texts or own}) from error
