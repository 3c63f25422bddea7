"""What every request passes: a database that is locked or gone is 503, not a fault of ours."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse

LOG = logging.getLogger(__name__)
RETRY_AFTER_S = "5"


class DatabaseGoneMiddleware:
    """Says 503 and when to try again. What was asked for was not done: writes are transactions."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Called by Django for what a view raised; others are left to Django."""
        if not isinstance(error, OperationalError | InterfaceError):
            return None
        LOG.warning("%s %s: %s", request.method, request.path, error)
        answer = JsonResponse({"detail": "The database does not answer, try again."}, status=503)
        answer["Retry-After"] = RETRY_AFTER_S
        return answer
