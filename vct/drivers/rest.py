"""Reads JSON from somebody's REST API over HTTP or HTTPS: documents, and lists that come in pages.

Nothing that is answered is trusted: certificates are verified, no redirect and no link to another
site is followed (a token goes to the site that it is for), time, size and pages are bounded.
Decides nothing; called by vct.verbs.
"""

from __future__ import annotations

import json
import re
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from vct.errors import UsageError, VctError

TIMEOUT_S = 20.0
ANSWER_MAX = 64 << 20  # octets
PAGES_MAX = 10_000
PER_PAGE = 200
_NEXT = re.compile(r'<([^<>]*)>\s*;\s*rel="?next"?(?:\s*[,;]|\s*$)')


class RestError(VctError):
    """There was no answer, or none that can be used. `status` is HTTP's, 0 without an answer."""

    def __init__(self, uri: str, said: str, *, hint: str, status: int = 0) -> None:
        super().__init__(f"{uri}: {said}", hint=hint)
        self.status = status

    def details(self) -> dict[str, object]:
        return {"status": self.status}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """An API at `base`, which ends with a slash. `ca`: who signed its certificate, besides those
    that this host knows; `token` may be empty. Raises UsageError for what cannot be a base."""

    base: str
    ca: Path | None = None
    token: str = ""

    def __post_init__(self) -> None:
        base = urlsplit(self.base)
        if base.scheme not in ("http", "https") or not base.hostname or base.query or base.username:
            raise UsageError(
                f"{self.base!r} is not the URI of a REST API",
                hint="such as https://controller.example.org/api/",
            )
        object.__setattr__(self, "base", self.base.rstrip("/") + "/")

    def document(self, path: str = "") -> Any:
        """What is at a path below the base. Raises RestError."""
        return self._get(urljoin(self.base, path))[0]

    def everything(self, path: str) -> list[Any]:
        """All elements of a list, from as many pages as it has. Raises RestError."""
        uri = urljoin(self.base, f"{path}?per_page={PER_PAGE}")
        found: list[Any] = []
        seen: set[str] = set()
        while uri:
            if uri in seen or len(seen) == PAGES_MAX:
                raise self._unusable(uri, "its pages have no end")
            seen.add(uri)
            page, uri = self._page(uri)
            found += page
        return found

    def _page(self, uri: str) -> tuple[list[Any], str]:
        content, links = self._get(uri)
        if not isinstance(content, list):
            raise self._unusable(uri, "this is not a list")
        following = _NEXT.search(links)
        then = urljoin(uri, following[1]) if following else ""
        if then and urlsplit(then)[:2] != urlsplit(self.base)[:2]:
            raise self._unusable(uri, f"its next page is elsewhere: {then}")
        return content, then

    def _get(self, uri: str) -> tuple[Any, str]:
        """The JSON that is there, and the Link header."""
        parts = urlsplit(uri)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if self.token:
            headers["Authorization"] = f"Token {self.token}"
        try:
            connection = self._connection(parts.hostname or "", parts.port)
            try:
                where = parts.path + (f"?{parts.query}" if parts.query else "")
                connection.request("GET", where, headers=headers)
                answer = connection.getresponse()
                content = answer.read(ANSWER_MAX + 1)
            finally:
                connection.close()
        except ssl.SSLError as error:
            raise _distrusted(uri, error) from error
        except (OSError, HTTPException, ValueError) as error:
            words = str(error) or type(error).__name__
            raise RestError(
                uri, words, hint="is it up, and can it be reached from here?"
            ) from error
        if answer.status != HTTPStatus.OK:
            raise self._refused(uri, answer.status, answer.getheader("Location") or "")
        if len(content) > ANSWER_MAX:
            raise self._unusable(uri, f"more than {ANSWER_MAX >> 20} MiB")
        try:
            return json.loads(content), ", ".join(answer.headers.get_all("Link") or ())
        except (ValueError, RecursionError) as error:
            raise self._unusable(uri, "this is not JSON") from error

    def _connection(self, host: str, port: int | None) -> HTTPConnection:
        if urlsplit(self.base).scheme == "http":
            return HTTPConnection(host, port, timeout=TIMEOUT_S)
        context = ssl.create_default_context()
        if self.ca:
            try:
                context.load_verify_locations(cafile=self.ca)
            except (ssl.SSLError, OSError) as error:
                raise UsageError(
                    f"{self.ca}: no certificate in PEM could be read",
                    hint="--ca FILE: the certificate of who signed the controller's",
                ) from error
        return HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)

    def _unusable(self, uri: str, what: str) -> RestError:
        return RestError(
            uri, what, hint="is this the base of a controller's REST API? it often ends in /api/"
        )

    def _refused(self, uri: str, status: int, location: str) -> RestError:
        hint = "is this the base of a controller's REST API? it often ends in /api/"
        if location:
            hint = f"it says that it is at: {location}"
        elif status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            hint = "give a token that may read it: --token TOKEN"
        elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            hint = "look at the controller's log, or try again later"
        return RestError(uri, f"HTTP {status}", hint=hint, status=status)


def _distrusted(uri: str, error: ssl.SSLError) -> RestError:
    words = getattr(error, "verify_message", "") or error.reason or str(error)
    hint = "give the certificate of who signed the controller's: --ca FILE"
    if not isinstance(error, ssl.SSLCertVerificationError):
        hint = "is this a port of HTTPS? otherwise begin the URI with http:"
    return RestError(uri, f"TLS: {words}", hint=hint)
