"""Functions of objects: what is below `ctl/`, declared with `@function` in a view of things."""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import Any, Literal

from django.conf import settings
from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from vct.controller import config, permissions
from vct.controller.files.models import FileKind
from vct.controller.files.store import storing
from vct.controller.policy import Action
from vct.controller.problems import TooLargeError
from vct.controller.rest.fields import Text
from vct.controller.rest.views import Things
from vct.controller.slices.verbs import attach
from vct.controller.users.models import User
from vct.wire.relations import Function

AROUND_A_FILE = 64 * 1024  # octets of a multipart body beside the file itself


class Detail(serializers.Serializer[Any]):
    """What functions answer."""

    detail = Text()


class Nothing(serializers.Serializer[Any]):
    """The body of functions that take none: empty, null or {}."""


class Upload(serializers.Serializer[Any]):
    """Exactly one file, whatever its field is called."""

    file = serializers.FileField()


def function(
    which: Function,
    *,
    method: Literal["get", "post"] = "post",
    takes: Any = Nothing,
    gives: Any = Detail,
    status: int = 200,
    parsers: tuple[type[BaseParser], ...] = (),
    **view: Any,
) -> Callable[[Callable[..., Response]], Any]:
    """A function of an object at its path below the object; `view` are attributes of the view."""

    if parsers:
        view["parser_classes"] = parsers

    def decorate(handler: Callable[..., Response]) -> Any:
        routed = action(
            detail=True,
            methods=[method],
            url_path=which.path.rstrip("/"),
            url_name=str(which),
            **view,
        )(handler)
        return _described(takes, gives, status)(routed)

    return decorate


def also(
    routed: Any, method: str, *, takes: Any = Nothing, gives: Any = Detail, status: int = 200
) -> Callable[[Callable[..., Response]], Any]:
    """Another method of a function that was declared with `@function`."""

    def decorate(handler: Callable[..., Response]) -> Any:
        return getattr(routed.mapping, method)(_described(takes, gives, status)(handler))

    return decorate


def _described(takes: Any, gives: Any, status: int) -> Callable[[Any], Any]:
    request = None if takes is Nothing else takes
    return extend_schema(request=request, responses={status: gives})


class WithFunctions(Things):
    """Things that have functions."""

    def order(
        self,
        request: Request,
        what: Action,
        do: Callable[[Any], object],
        words: str,
        *,
        status: int = 200,
    ) -> Response:
        """Does it if it is allowed, and says so. Raises ForbiddenError, ValidationError."""
        thing = self.get_object()
        permissions.require(request, what, thing)
        require_no_body(request)
        with transaction.atomic():
            do(thing)
            self.audit(str(what), thing)
        return Response({"detail": words}, status)

    def upload(self, request: Request, archive: str, kind: FileKind, prefix: str = "") -> Response:
        """Stores the one file of a multipart body as the object's `archive`."""
        thing = self.get_object()
        permissions.require(request, Action.UPLOAD, thing)
        file = one_file(request, settings.CONFIG.upload_limit_mib * config.MIB)
        user = request.user if isinstance(request.user, User) else None
        limit = settings.CONFIG.upload_limit_mib * config.MIB
        name, chunks = file.name or "", file.chunks()
        with storing(kind, name, chunks, limit=limit, prefix=prefix, by=user) as stored:
            attach(thing, archive, stored)
            self.audit("upload", thing, {archive: stored.path, "sha256": stored.sha256})
        return Response({"detail": f"{stored.path} was stored, SHA-256 {stored.sha256}."})


def require_no_body(request: Request) -> None:
    """Raises ValidationError for a body that says something."""
    data: Any = request.data
    if data is not None and (not isinstance(data, Sized) or len(data)):
        raise ValidationError({"detail": "This takes no data."})


def one_file(request: Request, limit: int) -> Any:
    """The only file of a multipart body. Raises TooLargeError, ValidationError."""
    length = request.META.get("CONTENT_LENGTH") or "0"
    if not length.isdigit() or int(length) > limit + AROUND_A_FILE:
        raise TooLargeError(f"the file has more than {limit} octets")
    files = [file for name in request.FILES for file in request.FILES.getlist(name)]
    if len(files) != 1:
        raise ValidationError({"detail": f"Send exactly one file, not {len(files)}."})
    return files[0]
