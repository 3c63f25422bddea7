"""Asks many nodes at once for what they publish of themselves, over the management network.

One thread and one selector for all, from inside the namespace that reaches them (the controller's).
HTTP/1.0, plain: each answer ends with its connection. The round trip is the kernel's own figure
for the connection, not the time that this loop took to look.
"""

from __future__ import annotations

import errno
import json
import os
import selectors
import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from vct.drivers import netns

PORT = 80
PATH = "/confine/api/node/"
RETRY_S = 0.1  # after a refusal or an answer that is not enough, at the soonest
SHARE_S = 0.02  # a question costs a node this much: when many are asked, each is asked less often
ONCE_S = 1.0
ANSWER_MAX = 1 << 20  # octets
TCPI_RTT = 68  # offset of tcpi_rtt, in microseconds, in struct tcp_info (linux/tcp.h)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was last seen of a node. `reachable`: somebody there answers, a refusal will do;
    `rtt_ms` is the round trip, `document` what it publishes; without one, `seen` says why."""

    reachable: bool = False
    rtt_ms: float | None = None
    document: Mapping[str, Any] | None = None
    seen: str = "not asked"


@dataclass(slots=True)
class _Try:
    """A node that is asked: its connection, or when to ask again, and what it has said."""

    node: str
    address: str
    connection: socket.socket | None = None
    connected: bool = False
    again: float = 0.0
    said: bytearray = field(default_factory=bytearray)
    answer: Answer = Answer()


Enough = Callable[[str, Answer], bool]


def ask(
    namespace: str, addresses: Mapping[str, str], timeout_s: float = ONCE_S
) -> dict[str, Answer]:
    """Ask each node once, for up to `timeout_s`."""
    return watch(namespace, addresses, lambda _node, _answer: True, timeout_s, once=True)


def watch(
    namespace: str,
    addresses: Mapping[str, str],
    enough: Enough,
    timeout_s: float,
    *,
    once: bool = False,
) -> dict[str, Answer]:
    """Ask nodes again and again until each gave an answer that is `enough`; the last answers."""
    tries = {node: _Try(node, address) for node, address in addresses.items()}
    pending = dict(tries)
    deadline = time.monotonic() + timeout_s
    with netns.entered(namespace), selectors.DefaultSelector() as selector:
        while pending and (now := time.monotonic()) < deadline:
            pause_s = max(RETRY_S, SHARE_S * len(pending))
            for one in pending.values():
                if one.connection is None and one.again <= now:
                    _connect(one, selector, now + pause_s)
            for key, _ in selector.select(min(RETRY_S / 2, deadline - now)):
                one = key.data
                _go_on(one, selector)
                if one.connection is None and (once or _is_enough(one, enough)):
                    del pending[one.node]
            if once:
                pending = {node: one for node, one in pending.items() if one.connection}
        for one in pending.values():
            _close(one, selector)
    return {node: one.answer for node, one in tries.items()}


def _is_enough(one: _Try, enough: Enough) -> bool:
    return one.answer.document is not None and enough(one.node, one.answer)


def _connect(one: _Try, selector: selectors.BaseSelector, again: float) -> None:
    family = socket.AF_INET6 if ":" in one.address else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    code = connection.connect_ex((one.address, PORT))
    one.again = again
    if code not in (0, errno.EINPROGRESS):
        connection.close()
        one.answer = Answer(seen=os.strerror(code))
        return
    one.connection, one.connected = connection, False
    one.said.clear()
    if one.answer.document is None:
        one.answer = Answer(seen="no answer")
    selector.register(connection, selectors.EVENT_WRITE, one)


def _go_on(one: _Try, selector: selectors.BaseSelector) -> None:
    """Send the question, or take in what comes; closes the connection when that was all."""
    connection = one.connection
    if connection is None:
        return
    try:
        if not one.connected:
            _check(connection)
            one.connected = True
            before = one.answer
            one.answer = replace(before, reachable=True, rtt_ms=_rtt_ms(connection))
            connection.send(_question(one.address))
            selector.modify(connection, selectors.EVENT_READ, one)
            return
        block = connection.recv(1 << 16)
    except OSError as error:
        refused = error.errno == errno.ECONNREFUSED
        reachable = refused or one.answer.reachable
        one.answer = Answer(reachable=reachable, seen=error.strerror or str(error))
        _close(one, selector)
        return
    one.said += block
    if not block or len(one.said) > ANSWER_MAX:
        one.answer = parse_answer(bytes(one.said), one.answer.rtt_ms)
        _close(one, selector)


def _check(connection: socket.socket) -> None:
    code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


def _rtt_ms(connection: socket.socket) -> float:
    told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCPI_RTT + 4)
    (microseconds,) = struct.unpack_from("I", told, TCPI_RTT)
    return float(microseconds) / 1000


def _question(address: str) -> bytes:
    host = f"[{address}]" if ":" in address else address
    return f"GET {PATH} HTTP/1.0\r\nHost: {host}\r\nAccept: application/json\r\n\r\n".encode()


def parse_answer(said: bytes, rtt_ms: float | None) -> Answer:
    """An HTTP response with a JSON object, or what was wrong with it."""
    head, _, body = said.partition(b"\r\n\r\n")
    status = head.split(b"\r\n")[0].split()[1:2]
    document, wrong = None, ""
    if not status:
        wrong = "closed without an answer"
    elif status != [b"200"]:
        wrong = f"HTTP {status[0].decode(errors='replace')}"
    else:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            wrong = "the answer is not JSON"
        if not wrong and not isinstance(document, dict):
            document, wrong = None, "the answer is not a JSON object"
    return Answer(reachable=True, rtt_ms=rtt_ms, document=document, seen=wrong)


def _close(one: _Try, selector: selectors.BaseSelector) -> None:
    if one.connection is not None:
        selector.unregister(one.connection)
        one.connection.close()
        one.connection = None
