"""Asks nodes over IPv6 what they and their slivers are, and tells them to fetch their orders.

Knows HTTP and TLS, no database. Nothing that a node answers is trusted: where it is asked is
checked first, no redirect is followed, time, size and the number of questions at a time are
bounded, and only documents that every database can keep are passed on. `rounds` calls it.
"""

from __future__ import annotations

import asyncio
import json
import math
import ssl
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import AddressValueError, IPv6Address, IPv6Network
from typing import Any
from urllib.parse import urlsplit

import httpx

from vct.controller.state.trust import Trust, is_trusted

NODES_AT_A_TIME = 64
URGENT_AT_A_TIME = 16  # beside those: a few that hang must not hold up what is wanted now
CONNECT_S, TOTAL_S = 10.0, 30.0
URGENT_S = 10.0
TELL_S = 3.0
ANSWER_MAX = 1 << 20  # octets
HEADERS_KEPT, TEXT_KEPT = 40, 500
ETAG_MAX = 128
DEPTH_MAX = 64  # of a document; Python reads about 900, less where more is on its stack


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One document: whose (`key`, the caller's), where it is, and the tag of what is known."""

    key: int
    url: str
    etag: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Everything that is asked of one node; whoever does not answer is asked nothing more."""

    node: Question
    slivers: tuple[Question, ...] = ()
    trust: Trust = field(default_factory=Trust)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a question. `document` is None when there is none, or the known one holds."""

    key: int
    answered: bool
    unchanged: bool = False  # 304: what is known holds
    document: dict[str, Any] | None = None
    etag: str = ""
    verified: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Whether a node was told: `words` say why not."""

    key: int
    words: str


def why_not_asked(url: str, networks: Sequence[IPv6Network]) -> str:
    """Why the controller does not ask there, empty if it does.

    Who may change a node may write any URI: the controller asks in the testbed's networks only, not
    its own loopback or whoever else it can reach.
    """
    try:
        parts = urlsplit(url)
        address, _port = IPv6Address(parts.hostname or ""), parts.port  # a port too large raises
    except (AddressValueError, ValueError):
        return "it is not at an IPv6 address and port"
    if parts.scheme not in ("http", "https"):
        return f"it is not http, but {parts.scheme}"
    if not any(address in network for network in networks):
        return "it is not in the testbed's networks"
    return ""


def parse_document(content: bytes) -> dict[str, Any] | None:
    """The JSON object in an answer; None for all else and for what no database keeps."""
    try:
        text = content.decode()
        document = json.loads(text, parse_constant=_refuse, parse_float=_finite)
        json.dumps(document, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        return None
    good = isinstance(document, dict) and "\\u0000" not in text and not _too_deep(document)
    return document if good else None


def _too_deep(document: object) -> bool:
    level: list[Any] = [document]
    for _ in range(DEPTH_MAX):
        inner = [one.values() if isinstance(one, dict) else one for one in level]
        level = [each for one in inner for each in one if isinstance(each, dict | list)]
        if not level:
            return False
    return True


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("too large")
    return number


class Asking:
    """Questions under way, asked while `come` is waiting. `asking` makes one."""

    def __init__(
        self, runner: asyncio.Runner, client: httpx.AsyncClient, networks: Sequence[IPv6Network]
    ) -> None:
        self._runner, self._client, self._networks = runner, client, networks
        self._usual = asyncio.Semaphore(NODES_AT_A_TIME)
        self._urgent = asyncio.Semaphore(URGENT_AT_A_TIME)
        self._tasks: dict[asyncio.Task[None], int] = {}
        self._answers: list[Answer] = []
        self._told: list[Told] = []

    @property
    def pending(self) -> bool:
        return bool(self._tasks)

    @property
    def busy(self) -> set[int]:
        """The keys of the nodes that are being asked."""
        return set(self._tasks.values())

    def ask(self, visits: Iterable[Visit], *, urgent: bool = False) -> None:
        """Begins these visits, but for those of who is being asked already."""
        gate, limit_s = (self._urgent, URGENT_S) if urgent else (self._usual, TOTAL_S)
        for visit in visits:
            if visit.node.key not in self.busy:
                self._begin(self._visit(visit, gate, limit_s), visit.node.key)

    def tell(self, places: Mapping[int, str]) -> None:
        """Sends an empty POST to each place, whose keys come back with what came of it."""
        for key, url in places.items():
            self._begin(self._tell(key, url), -key)

    def come(self, wait_s: float) -> tuple[list[Answer], list[Told]]:
        """What has come until all has, or the time is over."""
        if self._tasks:
            done, _ = self._runner.run(_wait(self._tasks, wait_s))
            for task in done:
                del self._tasks[task]
                task.result()
        come = self._answers, self._told
        self._answers, self._told = [], []
        return come

    def give_up(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            self._runner.run(_wait(self._tasks, None))
        self._tasks = {}

    def _begin(self, work: Coroutine[None, None, None], key: int) -> None:
        self._tasks[self._runner.get_loop().create_task(work)] = key

    async def _visit(self, visit: Visit, gate: asyncio.Semaphore, limit_s: float) -> None:
        """Whoever does not answer is asked nothing more."""
        async with gate:
            first = await _ask(self._client, visit.node, visit.trust, self._networks, limit_s)
            self._answers.append(first)
            for one in visit.slivers:
                if first.answered:
                    answer = await _ask(self._client, one, visit.trust, self._networks, limit_s)
                else:
                    answer = _silence(one, str(first.metadata["exception"]))
                self._answers.append(answer)

    async def _tell(self, key: int, url: str) -> None:
        async with self._urgent:
            words = await _tell(self._client, url, self._networks)
        self._told.append(Told(key=key, words=words))  # to the list of now: `come` takes it away


@contextmanager
def asking(networks: Sequence[IPv6Network]) -> Iterator[Asking]:
    """Something to ask with; at the end what did not come yet is given up."""
    with asyncio.Runner() as runner:
        client = _client()
        out = Asking(runner, client, networks)
        try:
            yield out
        finally:
            out.give_up()
            runner.run(client.aclose())


async def _wait(tasks: Iterable[asyncio.Task[None]], wait_s: float | None) -> Any:
    return await asyncio.wait(tasks, timeout=wait_s)


def _client() -> httpx.AsyncClient:
    """Accepts every certificate: whose it is decides what is said of the answer, see `trust`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without reading the system's authorities
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return httpx.AsyncClient(
        verify=context,
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(TOTAL_S, connect=CONNECT_S),
        limits=httpx.Limits(max_connections=NODES_AT_A_TIME + URGENT_AT_A_TIME),
        headers={"Accept": "application/json", "Accept-Encoding": "identity"},
    )


async def _tell(client: httpx.AsyncClient, url: str, networks: Sequence[IPv6Network]) -> str:
    """Why it was not told; empty when it was. What it answers is not read."""
    if words := why_not_asked(url, networks):
        return words
    try:
        async with asyncio.timeout(TELL_S), client.stream("POST", url) as response:
            return "" if response.is_success else f"it answered {response.status_code}"
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        return f"{type(error).__name__}: {error}"


async def _ask(
    client: httpx.AsyncClient,
    question: Question,
    trust: Trust,
    networks: Sequence[IPv6Network],
    limit_s: float,
) -> Answer:
    if words := why_not_asked(question.url, networks):
        return _silence(question, words)
    tag = {"If-None-Match": question.etag} if question.etag else {}
    try:
        async with (
            asyncio.timeout(limit_s),
            client.stream("GET", question.url, headers=tag) as response,
        ):
            return await _answer(question, response, trust)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        return _silence(question, f"{type(error).__name__}: {error}")


async def _answer(question: Question, response: httpx.Response, trust: Trust) -> Answer:
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > ANSWER_MAX:
            return _silence(question, f"it answered more than {ANSWER_MAX} octets")
    tag = response.headers.get("etag", "")
    tls = response.extensions["network_stream"].get_extra_info("ssl_object")
    headers = list(response.headers.items())[:HEADERS_KEPT]
    return Answer(
        key=question.key,
        answered=True,
        unchanged=bool(question.etag) and response.status_code == HTTPStatus.NOT_MODIFIED,
        document=parse_document(bytes(content)),
        etag=tag if len(tag) <= ETAG_MAX and tag.isascii() and tag.isprintable() else "",
        verified=tls is not None and is_trusted(tls.getpeercert(binary_form=True), trust),
        metadata={
            "url": question.url,
            "headers": {name: value[:TEXT_KEPT] for name, value in headers},
            "status_code": response.status_code,
            "exception": "",
        },
    )


def _silence(question: Question, words: str) -> Answer:
    about = {"url": question.url, "headers": dict[str, str](), "status_code": None}
    words = words[:TEXT_KEPT]
    return Answer(key=question.key, answered=False, metadata={**about, "exception": words})
