"""Users, groups, and the token that programs log in with."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth import authenticate
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.parsers import FormParser
from rest_framework.request import Request
from rest_framework.response import Response

from vct.controller import permissions
from vct.controller.api.shapes.users import (
    ChangeAuth,
    Credentials,
    GroupShape,
    Token,
    UserShape,
)
from vct.controller.policy import Action
from vct.controller.rest.filters import Filters
from vct.controller.rest.functions import WithFunctions, function
from vct.controller.rest.parsers import JsonParser
from vct.controller.rest.throttles import check_log_in
from vct.controller.rest.views import Answering, Things
from vct.controller.users.models import Group, User, issue_token
from vct.wire.relations import Function, Resource

UNKNOWN = "Unknown name or wrong password."


class Groups(Things):
    """Groups own nodes and slices, and say who may do what with them."""

    resource = Resource.GROUP
    serializer_class = GroupShape
    queryset = Group.objects.prefetch_related("roles", "nodes", "slices")
    filters: ClassVar[Filters] = {
        "id": ("id", int),
        "name": ("name", str),
        "allow_nodes": ("allow_nodes", bool),
        "allow_slices": ("allow_slices", bool),
        "user_roles/_/user/id": ("roles__user", int),
    }


class Users(WithFunctions):
    """People."""

    resource = Resource.USER
    functions: ClassVar[tuple[Function, ...]] = (Function.CHANGE_AUTH,)
    serializer_class = UserShape
    queryset = User.objects.prefetch_related("auth_tokens", "roles")
    filters: ClassVar[Filters] = {
        "id": ("id", int),
        "name": ("name", str),
        "is_active": ("is_active", bool),
        "is_superuser": ("is_superuser", bool),
        "group_roles/_/group/id": ("roles__group", int),
    }

    @function(Function.CHANGE_AUTH, takes=ChangeAuth)
    def change_auth(self, request: Request, pk: int) -> Response:
        """Sets the password, and user name and e-mail address if they are given."""
        return self.set_auth(request, request.data)

    def set_auth(self, request: Request, told: Any) -> Response:
        """`told` has the members of ChangeAuth; the older dialect sends them otherwise."""
        user = self.get_object()
        permissions.require(request, Action.CHANGE_AUTH, user)
        asked = ChangeAuth(data=told)
        asked.is_valid(raise_exception=True)
        values: dict[str, Any] = dict(asked.validated_data)
        try:
            validate_password(values["password"], user)
        except ValidationError as error:
            raise serializers.ValidationError({"password": error.messages}) from error
        user.set_password(values.pop("password"))
        with transaction.atomic():
            user.change(**values)
            self.audit("change_auth", user, {**values, "password": ""})
        return Response({"detail": f"{user.name} can log in with this."})


class AuthToken(Answering):
    """Log in: a token for a user name, or e-mail address, and a password."""

    authentication_classes = ()
    parser_classes = (JsonParser, FormParser)
    without_log_in = True
    tagged = False

    @extend_schema(request=Credentials, responses={200: Token})
    def post(self, request: Request) -> Response:
        """A new token each time; it does not expire. Too many failures are 429."""
        asked = Credentials(data=request.data)
        asked.is_valid(raise_exception=True)
        check_log_in(request, asked.validated_data["username"])
        user = authenticate(request._request, **asked.validated_data)
        if not isinstance(user, User):
            raise serializers.ValidationError({"non_field_errors": [UNKNOWN]})
        with transaction.atomic():
            token = issue_token(user)
            self.audit("issue_token", user, by=user)
        return Response({"token": token})
