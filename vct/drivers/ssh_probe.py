"""Asks many ssh servers at once whether they answer: connects, and reads the greeting.

One thread and one selector for all, from inside the namespace that reaches them.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vct.drivers import netns

PORT = 22
RETRY_S = 0.03  # a refused connection is tried again after this: an idle try costs 0.1 ms of CPU
ONCE_S = 3.0  # of a busy machine, whose nodes answer late
GREETING = b"SSH-"  # RFC 4253, section 4.2


@dataclass(slots=True)
class _Try:
    """A node that has not answered yet: its connection, or when to try again, and what was seen."""

    node: str
    address: str
    connection: socket.socket | None = None
    again: float = 0.0
    seen: str = "not tried"


def wait_for_ssh(
    namespace: str,
    addresses: Mapping[str, str],
    timeout_s: float,
    on_answer: Callable[[str], None] = lambda _node: None,
) -> dict[str, str]:
    """Wait until every node's ssh server has greeted. Returns what was last seen of those that did
    not in time: empty when all are ready. A timeout of 0 asks once, for up to three seconds."""
    tries = {node: _Try(node, address) for node, address in addresses.items()}
    once = timeout_s <= 0
    deadline = time.monotonic() + (timeout_s or ONCE_S)
    with netns.entered(namespace), selectors.DefaultSelector() as selector:
        while tries and time.monotonic() < deadline:
            now = time.monotonic()
            for attempt in tries.values():
                if attempt.connection is None and attempt.again <= now:
                    _connect(attempt, selector)
            for key, _ in selector.select(RETRY_S):
                if _answered(key.data, selector):
                    on_answer(key.data.node)
                    del tries[key.data.node]
                elif once and key.data.connection is None:
                    key.data.again = deadline
            if once and all(attempt.again >= deadline for attempt in tries.values()):
                break
        for attempt in tries.values():
            _close(attempt, selector)
    return {node: attempt.seen for node, attempt in tries.items()}


def _connect(attempt: _Try, selector: selectors.BaseSelector) -> None:
    family = socket.AF_INET6 if ":" in attempt.address else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    code = connection.connect_ex((attempt.address, PORT))
    if code not in (0, errno.EINPROGRESS):
        connection.close()
        attempt.seen, attempt.again = os.strerror(code), time.monotonic() + RETRY_S
        return
    attempt.connection, attempt.seen = connection, "no answer"
    # Readable: greeted, refused or closed. Only reading is waited for, as the server speaks first.
    selector.register(connection, selectors.EVENT_READ, attempt)


def _answered(attempt: _Try, selector: selectors.BaseSelector) -> bool:
    connection = attempt.connection
    if connection is None:
        return False
    try:
        greeting = connection.recv(64)
        attempt.seen = "connection closed" if not greeting else f"not ssh: {greeting[:20]!r}"
    except OSError as error:
        greeting, attempt.seen = b"", error.strerror or str(error)
    _close(attempt, selector)
    attempt.again = time.monotonic() + RETRY_S
    return greeting.startswith(GREETING)


def _close(attempt: _Try, selector: selectors.BaseSelector) -> None:
    if attempt.connection is not None:
        selector.unregister(attempt.connection)
        attempt.connection.close()
        attempt.connection = None
