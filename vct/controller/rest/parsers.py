"""Reads JSON bodies: UTF-8 only, of bounded size and depth, nothing that a database cannot keep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any, ClassVar, NoReturn

from django.conf import settings
from django.http import HttpRequest
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

from vct.controller.config import MIB


class BodyTooLarge(APIException):
    """413: more than a body of JSON may have."""

    status_code = 413
    default_detail = "The body is too large."


def require_bounded(request: HttpRequest) -> None:
    """Raises BodyTooLarge (413) for a body that says it is longer than any of its kind may be."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    if str(request.META.get("CONTENT_TYPE", "")).startswith("multipart/"):
        limit += settings.CONFIG.upload_limit_mib * MIB
    if not length.isdecimal() or int(length) > limit:
        raise BodyTooLarge(f"A body has at most {limit} octets.")


class JsonParser(BaseParser):
    """`application/json`, with whatever parameters."""

    media_type = "application/json"
    limit: ClassVar[int] = settings.DATA_UPLOAD_MAX_MEMORY_SIZE  # octets

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Raises ParseError (400) and BodyTooLarge (413)."""
        body: bytes = stream.read(self.limit + 1)
        if len(body) > self.limit:
            raise BodyTooLarge(f"A body has at most {self.limit} octets.")
        try:
            text = body.decode()
            data = json.loads(text, parse_constant=_refuse)
            if "\\u" in text:  # \ud800 alone is no character: it cannot be written as UTF-8
                json.dumps(data, ensure_ascii=False).encode()
        except ValueError as error:
            raise ParseError(f"This is not JSON: {error}") from error
        except RecursionError as error:
            raise ParseError("This is nested too deeply.") from error
        return data


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number in JSON")
