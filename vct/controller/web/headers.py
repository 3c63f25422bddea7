"""The Content-Security-Policy of every answer. Django has its own from 6.0 on; this goes then.

Pages load scripts, styles and data from this server only and run nothing that is written in them;
what users uploaded is never a page of ours.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

HEADER = "Content-Security-Policy"
PAGES = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
# Django REST framework's pages have style attributes
API = f"{PAGES}; style-src-attr 'unsafe-inline'"
UPLOADS = "default-src 'none'; sandbox; frame-ancestors 'none'"


class SecurityPolicyMiddleware:
    """Sets the header unless the view did."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault(HEADER, policy_of(request.path))
        return response


def policy_of(path: str) -> str:
    """The policy for what is at a path."""
    if path.startswith((settings.MEDIA_URL, "/private/")):
        return UPLOADS
    return API if path.startswith("/api/") else PAGES
