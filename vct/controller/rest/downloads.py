"""Serves uploaded files and firmware: streamed, with ranges and the digest as ETag.

Never shown in a browser as a page: always an attachment, of no particular type, as it is on disk.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header, parse_etags
from django.views.decorators.http import require_safe
from drf_spectacular.utils import extend_schema
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request
from rest_framework.views import APIView

from vct.controller import permissions
from vct.controller.files.models import StoredFile
from vct.controller.firmware.models import Build
from vct.controller.policy import Action
from vct.controller.rest.authentication import PasswordAuthentication, TokenAuthentication
from vct.wire.relations import ETAG

RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
CHUNK = 64 * 1024
TYPE = "application/octet-stream"


@require_safe
def media(request: HttpRequest, path: str) -> HttpResponseBase:
    """`/media/<kind>/<name>`: what was uploaded, for everybody."""
    file = StoredFile.objects.filter(path=path).first() if "\0" not in path else None
    if file is None:
        raise Http404("There is no such file.")
    return send(request, Path(settings.MEDIA_ROOT) / file.path, file.sha256)


class Firmware(APIView):
    """`/private/firmware/build/image/<node id>/<file>`: for the node's technicians."""

    authentication_classes = (TokenAuthentication, PasswordAuthentication, SessionAuthentication)
    permission_classes = ()

    @extend_schema(exclude=True)
    def get(self, request: Request, node: int, name: str) -> HttpResponseBase:
        build = Build.objects.select_related("node__group").filter(node=node).first()
        if build is None or not build.path or Path(build.path).name != name:
            raise Http404("There is no such firmware.")
        permissions.require(request, Action.FIRMWARE_DOWNLOAD, build.node)
        return send(request, Path(settings.CONFIG.private) / build.path, build.sha256)


def send(request: HttpRequest, path: Path, sha256: str) -> HttpResponseBase:
    """The file or the one range of it that is asked for. Raises Http404 when it is gone."""
    tag = f'"{sha256}"'
    if tag in parse_etags(request.headers.get("If-None-Match", "")):
        return _headed(HttpResponse(status=304), path, tag)
    try:
        size = path.stat().st_size
    except OSError as error:
        raise Http404("The file is gone.") from error
    match = RANGE.fullmatch(request.headers.get("Range", ""))
    fresh = request.headers.get("If-Range", tag) == tag
    if not match or not fresh or match[0] == "bytes=-":
        answer: HttpResponseBase = FileResponse(path.open("rb"), content_type=TYPE)
        return _headed(answer, path, tag)
    first, last = _bounds(match[1], match[2], size)
    if first > last:
        answer = HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
        return _headed(answer, path, tag)
    answer = StreamingHttpResponse(_part(path, first, last), status=206, content_type=TYPE)
    answer.headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    answer.headers["Content-Length"] = str(last - first + 1)
    return _headed(answer, path, tag)


def _headed(answer: HttpResponseBase, path: Path, tag: str) -> HttpResponseBase:
    answer.headers[ETAG] = tag
    answer.headers["Accept-Ranges"] = "bytes"
    answer.headers["Content-Disposition"] = content_disposition_header(True, path.name) or ""
    return answer


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    """RFC 9110 section 14.1.2: `-5` is the last five octets; beyond the end is the end."""
    if not first:
        return max(size - int(last), 0), size - 1
    return int(first), min(int(last), size - 1) if last else size - 1


def _part(path: Path, first: int, last: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(first)
        left = last - first + 1
        while left and (chunk := file.read(min(CHUNK, left))):
            left -= len(chunk)
            yield chunk
