"""Turns what went wrong into an answer: always a JSON object, `detail` or texts by member.

Clients of the original call a dictionary's methods on every error. What is not known here is a
fault of ours and stays one.
"""

from __future__ import annotations

import errno
import logging
from typing import Any

from django.core.exceptions import SuspiciousOperation, ValidationError
from django.db import IntegrityError, InterfaceError, OperationalError
from django.db.models import ProtectedError, RestrictedError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.defaults import page_not_found
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import exception_handler

from vct.controller.middleware import RETRY_AFTER_S
from vct.controller.problems import ControllerError
from vct.errors import VctError

LOG = logging.getLogger(__name__)


def handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """REST framework's EXCEPTION_HANDLER; None lets the error through."""
    if isinstance(error, NotAuthenticated | AuthenticationFailed):
        error.status_code = 403  # the original has no 401, and clients know no other way to log in
    answer = exception_handler(error, context)
    if answer is not None:
        if isinstance(answer.data, list):
            answer.data = {"detail": " ".join(map(str, answer.data))}
        return answer
    answer = _answer(error)
    if answer is not None:
        answer.exception = True
        if answer.status_code >= 500:
            LOG.warning("%s: %s", type(error).__name__, error)
    return answer


def _answer(error: Exception) -> Response | None:
    match error:
        case ValidationError():
            return Response(texts_of(error), 400)
        case ControllerError():
            words = f"{error.message} ({error.hint})" if error.hint else error.message
            return Response({"detail": words}, error.status)
        case ProtectedError() | RestrictedError():
            return Response({"detail": _who_needs(error)}, 409)
        case IntegrityError():
            words = "Somebody else made the same thing at the same moment."
            return Response({"detail": words}, 409)
        case OperationalError() | InterfaceError():
            words = "The database does not answer, try again."
            return Response({"detail": words}, 503, headers={"Retry-After": RETRY_AFTER_S})
        case VctError():
            return Response({"detail": error.message}, 503)
        case SuspiciousOperation():
            return Response({"detail": "The request cannot be meant."}, 400)
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return Response({"detail": "The controller's disk is full."}, 507)
    return None


def texts_of(error: ValidationError) -> dict[str, Any]:
    """`{"member": ["text"]}`; for members that are lists of objects one object per element."""
    if not hasattr(error, "error_dict"):
        return {api_settings.NON_FIELD_ERRORS_KEY: error.messages}
    texts: dict[str, Any] = {}
    for member, errors in error.error_dict.items():
        each = errors[0].params.get("each") if errors[0].params else None
        texts[member] = each or ValidationError(errors).messages
    return texts


def _who_needs(error: ProtectedError | RestrictedError) -> str:
    rows = (
        error.protected_objects if isinstance(error, ProtectedError) else error.restricted_objects
    )
    kinds = sorted({str(row._meta.verbose_name_plural) for row in rows})
    return f"This cannot be deleted, {' and '.join(kinds)} need it."


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404: below /api/ an object, elsewhere a page."""
    if request.path.startswith("/api/"):
        return JsonResponse({"detail": "There is nothing here."}, status=404)
    return page_not_found(request, exception)
