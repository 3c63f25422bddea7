"""Asks nodes over IPv6 what they and their slivers are. Knows HTTP and TLS, no database.

Nothing that a node answers is trusted: where it is asked is checked first, no redirect is followed,
time, size and the number of questions at a time are bounded, and only documents that every database
can keep are passed on. `poller` calls it in a thread of its own event loop.
"""

from __future__ import annotations

import asyncio
import json
import math
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import AddressValueError, IPv6Address, IPv6Network
from typing import Any
from urllib.parse import urlsplit

import httpx

from vct.controller.state.trust import Trust, is_trusted

NODES_AT_A_TIME = 64
CONNECT_S, TOTAL_S = 10.0, 30.0
ANSWER_MAX = 1 << 20  # octets
HEADERS_KEPT, TEXT_KEPT = 40, 500
ETAG_MAX = 128
STOP_CHECK_S = 0.2


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


def why_not_asked(url: str, networks: Sequence[IPv6Network]) -> str:
    """Why the controller does not ask there, empty if it does.

    Who may change a node may write any URI: the controller asks in the testbed's networks only, not
    its own loopback or whoever else it can reach.
    """
    try:
        parts = urlsplit(url)
        address = IPv6Address(parts.hostname or "")
    except (AddressValueError, ValueError):
        return "it is not at an IPv6 address"
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
    return document if isinstance(document, dict) and "\\u0000" not in text else None


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("too large")
    return number


async def ask_all(
    visits: Sequence[Visit],
    networks: Sequence[IPv6Network],
    stopping: Callable[[], bool] = lambda: False,
) -> list[Answer]:
    """The answers to all questions, none missing; as many as there are so far when stopping."""
    gate, answers = asyncio.Semaphore(NODES_AT_A_TIME), list[Answer]()

    async def one(client: httpx.AsyncClient, visit: Visit) -> None:
        async with gate:
            async for answer in _visit(client, visit, networks):
                answers.append(answer)

    async with _client() as client:
        tasks = [asyncio.create_task(one(client, visit)) for visit in visits]
        pending = set(tasks)
        while pending and not stopping():
            _, pending = await asyncio.wait(pending, timeout=STOP_CHECK_S)
        for task in pending:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for result in ended:
        if isinstance(result, Exception):
            raise result
    return answers


@asynccontextmanager
async def _client() -> AsyncIterator[httpx.AsyncClient]:
    """Accepts every certificate: whose it is decides what is said of the answer, see `trust`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without reading the system's authorities
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with httpx.AsyncClient(
        verify=context,
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(TOTAL_S, connect=CONNECT_S),
        limits=httpx.Limits(max_connections=NODES_AT_A_TIME),
        headers={"Accept": "application/json", "Accept-Encoding": "identity"},
    ) as client:
        yield client


async def _visit(
    client: httpx.AsyncClient, visit: Visit, networks: Sequence[IPv6Network]
) -> AsyncIterator[Answer]:
    first = await _ask(client, visit.node, visit.trust, networks)
    yield first
    for question in visit.slivers:
        if first.answered:
            yield await _ask(client, question, visit.trust, networks)
        else:
            yield _silence(question, str(first.metadata["exception"]))


async def _ask(
    client: httpx.AsyncClient, question: Question, trust: Trust, networks: Sequence[IPv6Network]
) -> Answer:
    if words := why_not_asked(question.url, networks):
        return _silence(question, words)
    tag = {"If-None-Match": question.etag} if question.etag else {}
    try:
        async with (
            asyncio.timeout(TOTAL_S),
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
        etag=tag if len(tag) <= ETAG_MAX else "",
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
