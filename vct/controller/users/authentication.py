"""Who is asking: log in by user name or e-mail address, and tokens of programs.

Django's pages and `api-token-auth` use the back end, both dialects use `user_of_token`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone

from vct.controller.users.models import ApiToken, User, token_digest

USED_ON_STEP = timedelta(hours=1)  # how exactly the last use is kept: not every read is a write


class NameOrEmailBackend(BaseBackend):
    """User name or e-mail address with a password; users who are not active are nobody."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **credentials: Any,
    ) -> User | None:
        if not username or password is None:
            return None
        user = User.objects.filter(Q(username=username) | Q(email=username)).order_by("id").first()
        if user is None:
            User().set_password(password)  # takes as long as for a user who is there
            return None
        return user if user.check_password(password) and user.is_active else None

    def get_user(self, user_id: int) -> User | None:
        return User.objects.filter(pk=user_id, is_active=True).first()


def user_of_token(token: str) -> User | None:
    """Whose token it is; None for an unknown one and for users who are not active."""
    found = (
        ApiToken.objects.select_related("user")
        .filter(digest=token_digest(token), user__is_active=True)
        .first()
    )
    if found is None:
        return None
    now = timezone.now()
    if now - found.used_on > USED_ON_STEP:
        ApiToken.objects.filter(pk=found.pk).update(used_on=now)
    return found.user
