"""Who a request is from: a token, a session of the pages, for downloads also name and password.

Nothing is said by `WWW-Authenticate`: a request that may not be is 403, as with the original.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import (
    BaseAuthentication,
    BasicAuthentication,
    get_authorization_header,
)
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from vct.controller.rest.throttles import check_log_in
from vct.controller.users.authentication import user_of_token
from vct.controller.users.models import User

if TYPE_CHECKING:  # imports the settings, which name this module
    from rest_framework.views import APIView

SAFE = ("GET", "HEAD", "OPTIONS")


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Token <40 hex>`; a token that is not known is refused, also for reading."""

    def authenticate(self, request: Request) -> tuple[User, str] | None:
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != b"token":
            return None
        if len(words) != 2:
            raise AuthenticationFailed("After Token comes the token.")
        token = words[1].decode("latin-1")
        user = user_of_token(token)
        if user is None:
            raise AuthenticationFailed("This token is not known, or its user is not active.")
        return user, token


class PasswordAuthentication(BasicAuthentication):
    """`Authorization: Basic`, for downloads of private files."""

    def authenticate_credentials(
        self, userid: str, password: str, request: Request | None = None
    ) -> Any:
        if "\0" in userid + password:
            raise AuthenticationFailed("Unknown name or wrong password.")
        if request is not None:
            check_log_in(request, userid)
        return super().authenticate_credentials(userid, password, request)


class LoggedInToWrite(BasePermission):
    """Everybody reads; who writes is somebody. What exactly he may is asked for each object."""

    message = "Log in first: POST username and password to /api-token-auth/."

    def has_permission(self, request: Request, view: APIView) -> bool:
        open_to_all = request.method in SAFE or getattr(view, "without_log_in", False)
        return bool(open_to_all or request.user.is_authenticated)


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How OpenAPI says it."""

    target_class = "vct.controller.rest.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token <token>`; tokens come from /api-token-auth/.",
        }
