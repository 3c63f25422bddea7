"""Fields of both dialects that REST framework does not have: references, strict text, key texts.

Which URIs and shapes references have is said by `uris` in the serializer's context.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.db.models import Model
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from vct.controller.rest.uris import Uris, number_in
from vct.wire.relations import Resource

_REFERENCE = {
    "type": "object",
    "required": ["uri"],
    "properties": {
        "uri": {"type": "string", "format": "uri-reference"},
        "id": {"oneOf": [{"type": "integer"}, {"type": "string"}], "readOnly": True},
    },
}


class Text(serializers.CharField):
    """A string, kept as it is; numbers are not taken for strings."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("trim_whitespace", False)
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Pem(Text):
    """A text in PEM; null and empty are the same, shown as null."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs = {"allow_null": True, "allow_blank": True, "max_length": 16_384, **kwargs}
        super().__init__(**kwargs)

    def validate_empty_values(self, data: Any) -> tuple[bool, Any]:
        return super().validate_empty_values("" if data is None and not self.read_only else data)

    def to_representation(self, value: Any) -> Any:
        return super().to_representation(value) or None


class Properties(serializers.DictField):
    """An object of name to string."""

    child = Text(allow_blank=True)


class TextRows(serializers.ListField):
    """A list of strings that are rows: each shown by one of its attributes."""

    def __init__(self, attribute: str, **kwargs: Any) -> None:
        super().__init__(child=Text(), **kwargs)
        self.attribute = attribute

    def to_representation(self, data: Any) -> list[Any]:
        return [getattr(one, self.attribute) for one in data.all()]


class Timestamp(serializers.DateTimeField):
    """`2026-02-03T04:05:06.789Z`; read-only."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(read_only=True, **kwargs)

    def to_representation(self, value: Any) -> Any:
        return timestamp(value)


def timestamp(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@extend_schema_field({"type": "string", "format": "uri", "readOnly": True})
class OwnUri(serializers.Field[Any, Any, str, Any]):
    """Where the object itself is."""

    def __init__(self, resource: Resource) -> None:
        super().__init__(source="pk", read_only=True)
        self.resource = resource

    def to_representation(self, value: Any) -> str:
        uris: Uris = self.context["uris"]
        return uris.of(self.resource, value)


@extend_schema_field(_REFERENCE)
class Reference(serializers.Field[Any, Any, dict[str, object], Any]):
    """`{"uri", "id"}`; only the URI is read. The source is a foreign key."""

    default_error_messages = {  # noqa: RUF012 - REST framework's name
        "shape": 'This must be an object with the member "uri".',
        "unknown": "{uri} is no {resource} of this testbed.",
    }

    def __init__(self, resource: Resource, model: type[Model], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.resource, self.model = resource, model

    def get_attribute(self, instance: Any) -> Any:
        """The number is on the row: the object is not loaded."""
        return getattr(instance, f"{self.source}_id")

    def to_representation(self, value: Any) -> dict[str, object]:
        uris: Uris = self.context["uris"]
        return uris.reference(self.resource, value)

    def to_internal_value(self, data: Any) -> Model:
        uri = data.get("uri") if isinstance(data, dict) else None
        if not isinstance(uri, str):
            self.fail("shape")
        number = number_in(uri, self.resource)
        found = number and self.model._base_manager.filter(pk=number).first()
        if not found:
            self.fail("unknown", uri=uri[:256], resource=self.resource)
        return found


@extend_schema_field({"type": "array", "items": _REFERENCE, "readOnly": True})
class References(serializers.Field[Any, Any, list[dict[str, object]], Any]):
    """What belongs to the object; read-only. The source is a related manager, to be prefetched."""

    def __init__(self, resource: Resource, **kwargs: Any) -> None:
        super().__init__(read_only=True, **kwargs)
        self.resource = resource

    def get_attribute(self, instance: Any) -> Any:
        return getattr(instance, str(self.source)).all()

    def to_representation(self, value: Any) -> list[dict[str, object]]:
        uris: Uris = self.context["uris"]
        return [
            uris.reference(self.resource, one.pk, getattr(one, "api_id", None)) for one in value
        ]
