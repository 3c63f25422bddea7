"""`account`: users and tokens for whoever runs the container; answers are JSON on standard output.

Passwords are made here, never given: no command line and no history has one.
"""

from __future__ import annotations

import argparse
import json
import secrets
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from vct.controller.users.models import User, issue_token

PASSWORD_OCTETS = 12
DONE = ("first", "add", "password", "token", "list")


class Command(BaseCommand):
    """Called by `vct init` and `vct controller user|token`."""

    help = "Add users, give them other passwords or API tokens, list them."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("what", choices=DONE)
        parser.add_argument("username", nargs="?", default="")
        parser.add_argument("--email", default="")
        parser.add_argument("--superuser", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        what = options["what"]
        try:
            with transaction.atomic():
                answer = self._do(what, options)
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        self.stdout.write(json.dumps(answer))

    def _do(self, what: str, options: dict[str, Any]) -> object:
        if what == "list":
            return [described(user) for user in User.objects.all()]
        name = options["username"]
        if not name:
            raise CommandError("whose? name a user")
        if what == "first":
            return first(name)
        if what == "add":
            if User.objects.filter(username=name).exists():
                raise CommandError(f"there is a user {name} already")
            password = secrets.token_urlsafe(PASSWORD_OCTETS)
            user = User.objects.create_user(
                name, options["email"], password, is_superuser=options["superuser"]
            )
            return {**described(user), "password": password}
        user = named(name)
        if what == "token":
            return {**described(user), "token": issue_token(user)}
        password = secrets.token_urlsafe(PASSWORD_OCTETS)
        user.set_password(password)
        user.save()
        return {**described(user), "password": password}


def first(name: str) -> dict[str, object]:
    """A superuser with a token; the password is empty when there was such a user already."""
    user, password = User.objects.filter(username=name).first(), ""
    if user is None:
        password = secrets.token_urlsafe(PASSWORD_OCTETS)
        user = User.objects.create_user(name, "", password, is_superuser=True)
    return {**described(user), "password": password, "token": issue_token(user)}


def named(name: str) -> User:
    """The user who logs in by this name. Raises CommandError."""
    user = User.objects.filter(username=name).first()
    if user is None:
        known = ", ".join(str(one.username) for one in User.objects.exclude(username=None)[:20])
        raise CommandError(f"there is no user {name}; there are: {known or 'none'}")
    return user


def described(user: User) -> dict[str, object]:
    """A user as JSON."""
    return {
        "id": user.pk,
        "username": user.username,
        "name": user.name,
        "email": user.email,
        "superuser": user.is_superuser,
        "active": user.is_active,
    }
