"""Getting files from http, https and file URLs: as a stream, with its sha256, never without limit.

Called by imports. The caller gives a new path; after an error it may hold a part of the file.
"""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from vct.errors import UsageError, VctError

SCHEMES = ("http", "https", "file")
TIMEOUT_S = 30.0  # without a single byte
BLOCK = 1 << 20
TEXT_MAX = 32 << 20  # of an index


class DownloadError(VctError):
    """A file could not be got, or is not the one that was asked for. `missing`: is not there."""

    def __init__(self, url: str, problem: str, *, hint: str = "", missing: bool = False) -> None:
        super().__init__(
            f"{public_url(url)}: {problem}", hint=hint or "look at the address and the network"
        )
        self.missing = missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """What was downloaded."""

    sha256: str
    size: int


def public_url(url: str) -> str:
    """The URL without a user name and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def check_url(url: str) -> str:
    """The URL itself. Raises UsageError for other schemes than http, https and file."""
    if urlsplit(url).scheme not in SCHEMES:
        raise UsageError(f"{url!r} is not a URL for this", hint=f"known are {', '.join(SCHEMES)}")
    return url


def local_path(url: str) -> Path | None:
    """The path of a file URL, or None."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def download(url: str, to: Path, *, sha256: str = "", size_max: int) -> Got:
    """Stream a file to a new path. Raises DownloadError; UsageError for an unknown scheme.

    `sha256` is what it must have, empty for anything; more than `size_max` bytes are refused.
    """
    digest, size = hashlib.sha256(), 0
    with to.open("xb") as file:
        for block in _blocks(url):
            size += len(block)
            if size > size_max:
                raise DownloadError(
                    url, f"is larger than {size_max} bytes", hint="it is not what it was said to be"
                )
            digest.update(block)
            file.write(block)
    got = Got(sha256=digest.hexdigest(), size=size)
    check_sha256(public_url(url), got.sha256, sha256)
    return got


def read_url(url: str, *, size_max: int = TEXT_MAX) -> bytes:
    """A small file's contents. Raises DownloadError."""
    found = bytearray()
    for block in _blocks(url):
        found += block
        if len(found) > size_max:
            raise DownloadError(url, f"is larger than {size_max} bytes")
    return bytes(found)


def check_sha256(what: str, found: str, wanted: str) -> None:
    """Raises VctError when a file has another digest than it must have; empty fits anything."""
    if wanted and found != wanted.lower():
        raise VctError(
            f"{what} has the sha256 {found}, not {wanted}",
            hint="nothing of it was kept; ask whoever gave you the one or the other",
        )


def _blocks(url: str) -> Any:
    """The file's bytes. All that can go wrong on the way is a DownloadError."""
    try:
        with _open(url) as stream:
            while block := stream.read(BLOCK):
                yield block
            left = getattr(stream, "length", None)  # http.client counts down from Content-Length
            if left:
                raise DownloadError(url, f"ended {left} bytes too early", hint="try again")
    except urllib.error.HTTPError as error:
        with error:
            raise DownloadError(
                url,
                f"the server says {error.code} {error.reason}",
                missing=error.code in (404, 410),
            ) from None
    except FileNotFoundError:
        raise DownloadError(url, "there is no such file", missing=True) from None
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        words = error.reason if isinstance(error, urllib.error.URLError) else error
        raise DownloadError(url, f"cannot be read: {words}") from None


def _open(url: str) -> IO[bytes]:
    path = local_path(check_url(url))
    if path is not None:
        return path.open("rb")
    request = urllib.request.Request(url, headers={"User-Agent": "vct"})  # noqa: S310 - checked
    opened: IO[bytes] = urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT_S)
    return opened


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to http and https, and never from https down to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        allowed = ("https",) if req.type == "https" else ("http", "https")
        if urlsplit(newurl).scheme not in allowed:
            raise DownloadError(req.full_url, f"leads to {public_url(newurl)}, which is not secure")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
