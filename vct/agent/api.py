"""The node's REST API as a WSGI application: paths, methods, links, tags, conditions, forms.

Serves what is published, with the caller's own address in it. Nothing is asked of anybody, nothing
is changed but by `refresh`, which begins a cycle. `serve` gives it its requests.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

from vct.agent.publish import Links, Published, Tree
from vct.agent.shapes import BASE_PATH
from vct.wire.relations import (
    ETAG,
    GZIP_TAG_SUFFIX,
    LINK,
    LOCATION,
    REL_BASE,
    Dialect,
    Function,
    link_header,
)

REFRESH = f"/node/{Function.REFRESH.path}"
HIDDEN = ("/slivers/", "/templates/")  # there in production only
REFRESHES_MAX, REFRESHES_PER_S = 20.0, 2.0
RETRY_S = 10
GZIP_LEAST = 500  # octets; less is not worth it
BODY_MAX = 65_536  # of a request, which nobody reads

_HOST = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+(?:%25[A-Za-z0-9]+)?\])(?::[0-9]{1,5})?")

Environ = dict[str, Any]
Start = Callable[[str, list[tuple[str, str]]], Any]


@dataclass(frozen=True)
class Answer:
    """`body` is what is made to JSON, None for nothing at all."""

    status: HTTPStatus
    body: Any = None
    links: Links = ()
    headers: tuple[tuple[str, str], ...] = ()
    methods: str = "GET, HEAD"


@dataclass
class Throttle:
    """Lets `most` through at once, and `per_s` in the long run. Races cost one more or less."""

    most: float = REFRESHES_MAX
    per_s: float = REFRESHES_PER_S
    clock: Callable[[], float] = time.monotonic
    left: float = REFRESHES_MAX
    at: float = field(default=0.0)

    def passes(self) -> bool:
        now = self.clock()
        self.left = min(self.most, self.left + (now - self.at) * self.per_s)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class Api:
    """The application. `refresh` wakes the cycles, and returns at once."""

    def __init__(
        self, published: Published, refresh: Callable[[], None], throttle: Throttle | None = None
    ) -> None:
        self._published, self._refresh = published, refresh
        self._throttle = throttle or Throttle()

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        tree, base = self._published.tree, _base_of(environ, self._published.tree)
        _drop_body(environ)
        answer = self._answer(environ, tree, base)
        if answer.status is HTTPStatus.OK:
            answer = _for_caller(answer, tree, base)
        return _respond(environ, start, answer)

    def _answer(self, environ: Environ, tree: Tree, base: str) -> Answer:
        path, method = str(environ.get("PATH_INFO", "")), environ["REQUEST_METHOD"]
        if path != BASE_PATH and not path.startswith(f"{BASE_PATH}/"):
            return _told(HTTPStatus.NOT_FOUND, f"The node's API is at {base}/.")
        below = path.removeprefix(BASE_PATH)
        if not below.endswith("/"):
            place = f"{base}{quote(below)}/"
            return Answer(HTTPStatus.SEE_OTHER, headers=((LOCATION, place),))
        if below == REFRESH:
            return self._told_to_refresh(method, tree)
        if method not in ("GET", "HEAD"):
            return _told(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not for this.")
        if found := tree.documents.get(below):
            modified = ("Last-Modified", _date(found.modified))
            return Answer(HTTPStatus.OK, found.body, found.links, (modified,))
        if below.startswith(HIDDEN) and tree.state != "production":
            return _hidden(tree, below)
        return _told(HTTPStatus.NOT_FOUND, "There is no such thing on this node.")

    def _told_to_refresh(self, method: str, tree: Tree) -> Answer:
        """POST, and GET as the original's: it is harmless, so HEAD is no different."""
        methods = "GET, HEAD, POST"
        if method not in methods.split(", "):
            return _told(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not for this.", methods)
        if not self._throttle.passes():
            answer = _told(HTTPStatus.TOO_MANY_REQUESTS, "The node is being asked too often.")
            return Answer(answer.status, answer.body, headers=(("Retry-After", "1"),))
        self._refresh()
        links = _own_links(tree, ("base", "/"), ("node", "/node/"))
        detail = {"detail": "The node asks the registry now."}
        return Answer(HTTPStatus.OK, detail, links, methods=methods)


def _own_links(tree: Tree, *words: tuple[str, str]) -> Links:
    return tuple((f"{REL_BASE}{Dialect.NODE}/{word}", f"{tree.base}{path}") for word, path in words)


def _told(status: HTTPStatus, words: str, methods: str = "GET, HEAD") -> Answer:
    return Answer(status, {"detail": words}, methods=methods)


def _hidden(tree: Tree, below: str) -> Answer:
    """503, as ever; a sliver that exists says what state it is in all the same."""
    words = f"The node is in state {tree.state or 'unknown'}: it shows slivers in production only."
    body = {"detail": words}
    if below in tree.hidden:
        body["state"] = tree.hidden[below]
    retry = ("Retry-After", str(RETRY_S))
    return Answer(HTTPStatus.SERVICE_UNAVAILABLE, body, headers=(retry,))


# --- whose address is in it ----------------------------------------------------------------------


def _base_of(environ: Environ, tree: Tree) -> str:
    """The API as the caller reached it; the node's own address if the caller does not say."""
    host = environ.get("HTTP_HOST", "")
    if not _HOST.fullmatch(host):
        host = urlsplit(tree.base).netloc or "[::1]"
    return f"{environ['wsgi.url_scheme']}://{host}{BASE_PATH}"


def _for_caller(answer: Answer, tree: Tree, base: str) -> Answer:
    """The same with the node's URIs as the caller reaches them, the registry's by its scheme."""
    scheme = urlsplit(base).scheme
    changes = [(f"{tree.base}/", f"{base}/")]
    registry = urlsplit(tree.registry)
    if registry.scheme and registry.port is None:
        changes += [
            (f"{other}://{registry.netloc}/", f"{scheme}://{registry.netloc}/")
            for other in ("http", "https")
        ]

    def moved(uri: str) -> str:
        for old, new in changes:
            if uri.startswith(old):
                return new + uri[len(old) :]
        return uri

    links = tuple((rel, moved(uri)) for rel, uri in answer.links)
    return Answer(answer.status, _moved(answer.body, moved), links, answer.headers, answer.methods)


def _moved(value: Any, moved: Callable[[str], str]) -> Any:
    """Members that are URIs by name; the words of people are left alone."""
    if isinstance(value, list):
        return [_moved(one, moved) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: moved(one)
        if isinstance(one, str) and (name == "uri" or name.endswith("_uri"))
        else _moved(one, moved)
        for name, one in value.items()
    }


# --- how it is said ------------------------------------------------------------------------------


def _respond(environ: Environ, start: Start, answer: Answer) -> list[bytes]:
    headers = [*answer.headers, ("Allow", answer.methods), ("Vary", "Accept, Accept-Encoding")]
    if answer.links:
        headers.append((LINK, link_header(list(answer.links))))
    if answer.body is None:
        start(_line(answer.status), [*headers, ("Content-Length", "0")])
        return []
    kind, content = _form(environ, answer)
    coding = _wants_gzip(environ) and len(content) >= GZIP_LEAST
    if answer.status is HTTPStatus.OK:
        digest = hashlib.sha256(content).hexdigest()[:32]
        tag = f'"{digest}{GZIP_TAG_SUFFIX if coding else ""}"'
        headers.append((ETAG, tag))
        if _knows(environ, digest):
            start(_line(HTTPStatus.NOT_MODIFIED), headers)
            return []
    if coding:
        content = _gzip(content)
        headers.append(("Content-Encoding", "gzip"))
    headers += [("Content-Type", kind), ("Content-Length", str(len(content)))]
    start(_line(answer.status), headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [content]


def _date(at: float) -> str:
    """RFC 9110 section 5.6.7; the agent has no other language."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(at))


def _line(status: HTTPStatus) -> str:
    return f"{status.value} {status.phrase}"


def _form(environ: Environ, answer: Answer) -> tuple[str, bytes]:
    """JSON, or a small page for who asks for one."""
    text = json.dumps(answer.body, indent=1, ensure_ascii=False)
    if "text/html" not in environ.get("HTTP_ACCEPT", ""):
        return "application/json", text.encode()
    from html import escape  # people hardly look

    links = [
        f'<a href="{escape(uri)}">{escape(rel.rpartition("/rel/")[2])}</a>'
        for rel, uri in answer.links
    ]
    page = f"<!DOCTYPE html><title>node</title><p>{' '.join(links)}</p><pre>{escape(text)}</pre>\n"
    return "text/html; charset=utf-8", page.encode()


def _wants_gzip(environ: Environ) -> bool:
    asked = environ.get("HTTP_ACCEPT_ENCODING", "").replace(" ", "").split(",")
    return any(one == "gzip" or (one.startswith("gzip;") and one != "gzip;q=0") for one in asked)


def _gzip(content: bytes) -> bytes:
    import zlib  # few ask for it

    squeezer = zlib.compressobj(wbits=31)  # gzip's form, without a date
    return squeezer.compress(content) + squeezer.flush()


def _knows(environ: Environ, digest: str) -> bool:
    """Whether the caller has this already, compressed or not."""
    asked = environ.get("HTTP_IF_NONE_MATCH", "")
    tags = {tag.strip().removeprefix("W/") for tag in asked.split(",")}
    return bool(tags & {"*", f'"{digest}"', f'"{digest}{GZIP_TAG_SUFFIX}"'})


def _drop_body(environ: Environ) -> None:
    """Read what a POST brings, or its sender would find the connection broken."""
    length = environ.get("CONTENT_LENGTH") or "0"
    if length.isascii() and length.isdigit():
        environ["wsgi.input"].read(min(int(length[:9]), BODY_MAX))
