"""Limits log in: who failed often from an address, or with a name, waits.

Only failures count: tests and scripts log in as often as they like. Asked by `api-token-auth`, the
pages and Basic authentication; failures are told by Django's own signal, whoever asked.
Counts are this process's: with n server processes up to n times as many attempts pass.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import Any

from django.contrib.auth.signals import user_login_failed
from django.core.cache import cache
from django.dispatch import receiver
from django.http import HttpRequest
from rest_framework.exceptions import Throttled

FAILURES_OF_NAME, FAILURES_OF_ADDRESS = 10, 50
WINDOW_S = 60


def may_log_in(request: HttpRequest, name: str) -> bool:
    """Whether there is an attempt left in this minute for this name from this address."""
    failures = cache.get_many(_keys(request, name))
    return all(failures.get(key, 0) < most for key, most in _keys(request, name).items())


def check_log_in(request: HttpRequest, name: str) -> None:
    """Raises Throttled (429)."""
    if not may_log_in(request, name):
        raise Throttled(WINDOW_S)


@receiver(user_login_failed)
def count_failure(
    credentials: dict[str, Any], request: HttpRequest | None = None, **_more: Any
) -> None:
    """Called by Django after each failed log in."""
    if request is None:
        return
    for key in _keys(request, str(credentials.get("username", ""))):
        cache.add(key, 0, WINDOW_S)
        with suppress(ValueError):  # its minute was over just now
            cache.incr(key)


def _keys(request: HttpRequest, name: str) -> dict[str, int]:
    """Key and limit, for the address alone and together with the name."""
    address = request.META.get("REMOTE_ADDR", "")
    return {
        _key(address): FAILURES_OF_ADDRESS,
        _key(f"{address} {name.lower()}"): FAILURES_OF_NAME,
    }


def _key(text: str) -> str:
    return f"log-in-{hashlib.sha256(text.encode(errors='replace')).hexdigest()}"
