"""ETags: strong ones of JSON bodies, 304 for readers who have them, 412 for late writers."""

from __future__ import annotations

import hashlib

from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.utils.http import parse_etags
from rest_framework.exceptions import APIException

from vct.wire.relations import ETAG, GZIP_TAG_SUFFIX, LINK

KEPT_ON_304 = (ETAG, LINK, "Vary", "Cache-Control")


class PreconditionFailed(APIException):
    """412: the object is not what the writer has seen."""

    status_code = 412
    default_detail = "This was changed meanwhile: read it again and repeat your change."


def tag_of(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def with_tag(request: HttpRequest, response: HttpResponse) -> HttpResponse | None:
    """Puts the ETag on a rendered answer; instead of it a 304 if the client has the same."""
    response[ETAG] = tag = tag_of(response.content)
    if request.method not in ("GET", "HEAD"):
        return None
    if not _names(request.META.get("HTTP_IF_NONE_MATCH", ""), tag, weakly=True):
        return None
    unchanged = HttpResponseNotModified()
    for name in KEPT_ON_304:
        if name in response:
            unchanged[name] = response[name]
    return unchanged


def has_condition(request: HttpRequest) -> bool:
    return bool(request.META.get("HTTP_IF_MATCH"))


def require_tag(request: HttpRequest, *tags: str) -> None:
    """Raises PreconditionFailed if the writer saw something else than what has one of these."""
    asked = request.META.get("HTTP_IF_MATCH", "")
    if asked and not any(_names(asked, tag, weakly=False) for tag in tags):
        raise PreconditionFailed


def _names(header: str, tag: str, *, weakly: bool) -> bool:
    """Whether the header's list of tags has this one, as given or as a compressed body had it."""
    named = [one.replace(f'{GZIP_TAG_SUFFIX}"', '"') for one in parse_etags(header)]
    if weakly:
        named = [one.removeprefix("W/") for one in named]
    return "*" in named or tag in named
