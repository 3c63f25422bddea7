"""Asks the registry for documents: HTTP or HTTPS, one connection a cycle, tags, bounds.

Nothing that it answers is trusted: only its own address is asked, whatever URIs say; time and size
are bounded; an answer is a whole JSON object or an error that says what is wrong and what to do.
"""

from __future__ import annotations

import http.client
import json
import math
import re
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from vct.agent.kept import Cached
from vct.agent.limited import LimitedSocket
from vct.agent.problems import Fault, RegistryError
from vct.agent.publish import Links
from vct.wire.firmware import RegistrySection
from vct.wire.relations import ETAG, IF_NONE_MATCH, LINK, LOCATION

TOTAL_S = 20.0  # for one document, the redirects to it included
ANSWER_MAX = 1 << 20  # octets
REDIRECTS_MAX = 3
TAG_MAX = 256
LINKS_MAX = 64
PORTS = {"http": 80, "https": 443}

_LINK = re.compile(r'<([^<>"]*)>\s*;\s*rel="([^<>"]*)"')
_PLACE = re.compile(r"/[!-~]*")


@dataclass(frozen=True)
class Origin:
    """Whom a URI names. Both schemes of a host's usual ports are the same to us."""

    host: str
    port: int | None  # None: the usual one


class Registry:
    """A registry as this node's firmware names it. Not to be used by two threads at a time."""

    def __init__(
        self,
        section: RegistrySection,
        firmware: Path,
        *,
        total_s: float = TOTAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.base = section.base_uri
        self._certificate = firmware / section.cert if section.cert else None
        self._total_s, self._clock = total_s, clock
        self._scheme = urlsplit(section.base_uri).scheme
        self._origin = origin_of(section.base_uri)
        self._connection: http.client.HTTPConnection | None = None
        self._deadline = 0.0

    def place(self, uri: str) -> str:
        """Path and query of a URI of this registry. Raises RegistryError for one of elsewhere."""
        try:
            parts, origin = urlsplit(uri), origin_of(uri)
        except ValueError:
            parts, origin = None, None
        if parts is None or parts.scheme not in PORTS or origin != self._origin:
            raise RegistryError(
                f"{uri[:200]!r} is not at the registry {self.base}", fault=Fault.REDIRECT
            )
        place = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        if not _PLACE.fullmatch(place):
            raise RegistryError(f"{uri[:200]!r} is no URI", fault=Fault.GARBAGE)
        return place

    def get(self, place: str, known: Cached | None = None) -> Cached:
        """The document at a path. `known` itself when it still holds. Raises RegistryError."""
        self._deadline = self._clock() + self._total_s
        for _ in range(REDIRECTS_MAX + 1):
            status, headers, content = self._ask(place, known)
            if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.NOT_MODIFIED or status in (
                HTTPStatus.TEMPORARY_REDIRECT,
                HTTPStatus.PERMANENT_REDIRECT,
            ):
                place = self.place(urljoin(urljoin(self.base, place), headers.get(LOCATION) or ""))
                continue
            if status == HTTPStatus.NOT_MODIFIED and known is not None:
                return known
            if status != HTTPStatus.OK:
                raise _refusal(status, place)
            tag = headers.get(ETAG) or ""
            links = parse_links(headers.get(LINK) or "")
            return Cached(tag if len(tag) <= TAG_MAX else "", parse_body(content, place), links)
        raise RegistryError(f"{place} leads round in circles", fault=Fault.REDIRECT)

    def close(self) -> None:
        """At the end of a cycle: the registry keeps no connection open for an idle node."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, place: str, known: Cached | None) -> tuple[int, Any, bytes]:
        """Status, headers and body. A connection that was kept may have ended: once more then."""
        fresh = self._connection is None
        try:
            return self._exchange(place, known)
        except (ConnectionError, http.client.BadStatusLine) as error:
            self.close()
            if fresh:
                raise _failure(error, self.base) from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise _failure(error, self.base) from error
        return self._ask(place, known)

    def _exchange(self, place: str, known: Cached | None) -> tuple[int, Any, bytes]:
        if self._connection is None:
            self._connection = self._connect()
        headers = {"Accept": "application/json", "Connection": "keep-alive"}
        if known is not None and known.etag:
            headers[IF_NONE_MATCH] = known.etag
        self._connection.request("GET", place, headers=headers)
        response = self._connection.getresponse()
        content = response.read(ANSWER_MAX + 1)
        if len(content) > ANSWER_MAX:
            self.close()
            raise RegistryError(f"{place} is longer than {ANSWER_MAX} octets", fault=Fault.GARBAGE)
        response.read()  # of what was read whole: nothing, and the connection can go on
        if response.will_close:
            self.close()
        return response.status, response.headers, content

    def _connect(self) -> http.client.HTTPConnection:
        left = self._left()
        # Without a port http.client would look for one in the host: the end of an IPv6 address.
        port = self._origin.port or PORTS[self._scheme]
        if self._scheme == "http":
            made = http.client.HTTPConnection(self._origin.host, port, timeout=left)
        else:
            made = http.client.HTTPSConnection(
                self._origin.host, port, timeout=left, context=tls_context(self._certificate)
            )
        made.response_class = self._response  # type: ignore[assignment]
        made.connect()
        return made

    def _response(self, sock: socket.socket, *args: Any, **kwargs: Any) -> Any:
        limited: Any = LimitedSocket(sock, self._left)
        return http.client.HTTPResponse(limited, *args, **kwargs)

    def _left(self) -> float:
        """Seconds until the document must be there. Raises TimeoutError when it should be."""
        left = self._deadline - self._clock()
        if left <= 0:
            raise TimeoutError(f"no whole answer in {self._total_s:g} s")
        return left


# --- pure ----------------------------------------------------------------------------------------


def origin_of(uri: str) -> Origin:
    """Raises ValueError for what is no URI of a host."""
    parts = urlsplit(uri)
    if not parts.hostname or parts.username:
        raise ValueError(f"no URI of a host: {uri!r}")
    port = parts.port
    return Origin(parts.hostname, None if port == PORTS.get(parts.scheme) else port)


def parse_body(content: bytes, place: str) -> dict[str, Any]:
    """The JSON object in an answer. Raises RegistryError for anything else."""
    try:
        body = json.loads(content.decode(), parse_constant=_refuse, parse_float=_finite)
        json.dumps(body, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise RegistryError(f"{place} is not JSON: {error}", fault=Fault.GARBAGE) from error
    if not isinstance(body, dict):
        raise RegistryError(f"{place} is not a JSON object", fault=Fault.GARBAGE)
    return body


def parse_links(header: str) -> Links:
    """(relation, URI) of each link that is fit to be published again."""
    found = [(rel, uri) for uri, rel in _LINK.findall(header) if "," not in rel + uri]
    return tuple((rel, uri) for rel, uri in found[:LINKS_MAX] if (rel + uri).isprintable())


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("too large a number")
    return number


def _refusal(status: int, place: str) -> RegistryError:
    fault = Fault.GARBAGE
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        fault = Fault.GONE
    elif status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        fault = Fault.REFUSED
    elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        fault = Fault.BROKEN
    return RegistryError(f"the registry answers {status} to {place}", fault=fault)


# --- TLS -----------------------------------------------------------------------------------------


def tls_context(certificate: Path | None) -> ssl.SSLContext:
    """Trusts the registry's own authority only; without a certificate, whoever answers.

    Raises RegistryError when the certificate cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if certificate is None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context
    try:
        context.load_verify_locations(str(certificate))
    except (OSError, ssl.SSLError) as error:
        raise RegistryError(
            f"{certificate} is no certificate: {error}",
            fault=Fault.TLS,
            hint="write the node's firmware anew: vct init",
        ) from error
    return context


_TIME_CODES = {9, 10}  # X509_V_ERR_CERT_NOT_YET_VALID, _HAS_EXPIRED (openssl/x509_vfy.h)


def _failure(error: Exception, base: str) -> RegistryError:
    """What went wrong on the way, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        words = f"the certificate at {base} is not accepted: {error.verify_message}"
        if error.verify_code in _TIME_CODES:
            today = time.strftime("%Y-%m-%d", time.gmtime())
            words = f"{words}, as this node's clock says {today}"
            return RegistryError(words, fault=Fault.CLOCK)
        return RegistryError(words, fault=Fault.TLS)
    if isinstance(error, ssl.SSLError):
        return RegistryError(f"no TLS with {base}: {error.reason or error}", fault=Fault.TLS)
    if isinstance(error, http.client.IncompleteRead):
        return RegistryError(f"half an answer came from {base}", fault=Fault.GARBAGE)
    if isinstance(error, http.client.RemoteDisconnected | TimeoutError | OSError):
        words = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return RegistryError(f"{base} does not answer: {words}", fault=Fault.UNREACHABLE)
    return RegistryError(
        f"what answers at {base} does not speak HTTP: {type(error).__name__}", fault=Fault.GARBAGE
    )
