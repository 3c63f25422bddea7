"""Users and groups. Roles can be written from both sides, by those who may change the group."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.utils.crypto import get_random_string
from django.utils.text import slugify
from rest_framework import serializers

from vct.controller import permissions
from vct.controller.policy import Action
from vct.controller.rest.fields import OwnUri, Reference, References, Text, TextRows, Timestamp
from vct.controller.rest.things import Element, Thing, problems_of
from vct.controller.users.models import AuthToken, Group, Role, User, set_roles
from vct.wire.relations import Resource

FLAGS = ("is_group_admin", "is_node_admin", "is_slice_admin")


class Flags(Element):
    """What a role allows; without any it is plain membership."""

    is_group_admin = serializers.BooleanField(default=False)
    is_node_admin = serializers.BooleanField(default=False)
    is_slice_admin = serializers.BooleanField(default=False)


class UserRole(Flags):
    """A role as its group says it."""

    user = Reference(Resource.USER, User)


class GroupRole(Flags):
    """A role as its user says it."""

    group = Reference(Resource.GROUP, Group)


class GroupShape(Thing):
    """Who makes a group administers it."""

    model = Group
    parts = ("roles",)

    uri = OwnUri(Resource.GROUP)
    id = serializers.IntegerField(read_only=True)
    name = Text(max_length=32)
    description = Text(required=False, allow_blank=True)
    allow_nodes = serializers.BooleanField(required=False)
    allow_slices = serializers.BooleanField(required=False)
    user_roles = UserRole(many=True, required=False, source="roles")
    nodes = References(Resource.NODE)
    slices = References(Resource.SLICE)

    def create(self, validated_data: dict[str, Any]) -> Any:
        creator = self.request.user
        roles = [one for one in validated_data.get("roles", ()) if one["user"] != creator]
        validated_data["roles"] = [{"user": creator, "is_group_admin": True}, *roles]
        return super().create(validated_data)

    def write_roles(self, group: Group, roles: list[dict[str, Any]]) -> None:
        with problems_of("user_roles"):
            try:
                set_roles(group, [Role(**role) for role in roles])
            except ValidationError as error:
                raise ValidationError(error.messages) from error


class UserShape(Thing):
    """User name, e-mail address and password are set by `ctl/change-auth/` and never shown."""

    model = User
    parts = ("auth_tokens", "roles")

    uri = OwnUri(Resource.USER)
    id = serializers.IntegerField(read_only=True)
    name = Text(max_length=60)
    description = Text(required=False, allow_blank=True)
    auth_tokens = TextRows("data", required=False)
    group_roles = GroupRole(many=True, required=False, source="roles")
    is_active = serializers.BooleanField(required=False)
    is_superuser = serializers.BooleanField(required=False)
    date_joined = Timestamp()
    last_login = Timestamp(allow_null=True)

    def build(self, values: dict[str, Any]) -> User:
        """An address is obligatory in the model: one that nobody has and that leads nowhere."""
        name = slugify(values["name"])[:40] or "user"
        email = f"{name}@localhost"
        if User.objects.filter(email=email).exists():
            email = f"{name}-{get_random_string(8).lower()}@localhost"
        return User(email=email, **values)

    def write_auth_tokens(self, user: User, tokens: list[str]) -> None:
        """Those that stay are left alone."""
        wanted = list(dict.fromkeys(token.strip() for token in tokens))
        user.auth_tokens.exclude(data__in=wanted).delete()
        there = set(user.auth_tokens.values_list("data", flat=True))
        with problems_of("auth_tokens"):
            for token in wanted:
                if token not in there:
                    try:
                        AuthToken.objects.create(user=user, data=token)
                    except ValidationError as error:
                        raise ValidationError(error.messages) from error

    def write_roles(self, user: User, roles: list[dict[str, Any]]) -> None:
        """Changes the groups in which the user's role differs, if who asks may change those."""
        wanted = {role["group"].pk: role for role in roles}
        there = {role.group_id: role for role in user.roles.select_related("group")}
        with problems_of("group_roles"):
            if len(wanted) < len(roles):
                raise ValidationError("Each group once.")
            for group_id in {*wanted, *there}:
                new, old = wanted.get(group_id), there.get(group_id)
                if new and old and all(getattr(old, flag) == new[flag] for flag in FLAGS):
                    continue
                group = new["group"] if new else there[group_id].group
                permissions.require(self.request, Action.CHANGE, group)
                self._set_role(group, user, new)

    def _set_role(self, group: Group, user: User, role: dict[str, Any] | None) -> None:
        others = [
            Role(user_id=one.user_id, **{flag: getattr(one, flag) for flag in FLAGS})
            for one in group.roles.exclude(user=user)
        ]
        own = [Role(user=user, **{flag: role[flag] for flag in FLAGS})] if role else []
        group.save()
        try:
            set_roles(group, [*others, *own])
        except ValidationError as error:
            raise ValidationError(error.messages) from error


class ChangeAuth(serializers.Serializer[Any]):
    """How somebody logs in."""

    password = Text(max_length=256)
    username = Text(max_length=30, required=False)
    email = Text(max_length=254, required=False)


class Credentials(serializers.Serializer[Any]):
    """What a token is given for; `username` may be the e-mail address."""

    username = Text(max_length=254)
    password = Text(max_length=256)


class Token(serializers.Serializer[Any]):
    """To be sent as `Authorization: Token <token>`."""

    token = Text(read_only=True)
