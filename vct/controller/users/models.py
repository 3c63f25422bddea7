"""Users, groups, the roles that join them, and users' public keys and API tokens.

Who may do what is not said here: see `vct.controller.policy`.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models, transaction
from django.db.models import F, Q
from django.utils import timezone

from vct.controller.base import Checked, Described, Guard, check_name
from vct.controller.problems import InUseError
from vct.controller.users.keys import check_auth_token
from vct.wire.states import NodeSetState, SliverSetState

TOKENS_MAX = 32  # API tokens of one user: the least recently used makes room
TOKEN_LENGTH = 20  # octets, so 40 hex digits


class UserManager(BaseUserManager["User"]):
    """Makes users as Django's own commands want it."""

    def create_user(
        self, username: str, email: str = "", password: str | None = None, **fields: Any
    ) -> User:
        """A user; without an e-mail address `<username>@localhost`, without a password no log in.

        Raises ValidationError.
        """
        fields.setdefault("name", username)
        user = self.model(username=username, email=email or f"{username}@localhost", **fields)
        user.set_password(password)
        user.save()
        return user

    def create_superuser(self, username: str, **fields: Any) -> User:
        return self.create_user(username, is_superuser=True, **fields)


class User(AbstractBaseUser, Described):
    """Somebody who logs in, or a person who is only named."""

    username = models.CharField(
        max_length=30,
        unique=True,
        null=True,
        blank=True,
        default=None,
        validators=[RegexValidator(r"\A[A-Za-z0-9._+-]+\Z", "Letters, digits and . _ + - only.")],
    )
    name = models.CharField(max_length=60, unique=True, validators=[check_name])
    email = models.EmailField(unique=True)
    is_active = models.BooleanField(default=True)
    is_superuser = models.BooleanField(default=False)
    date_joined = models.DateTimeField(default=timezone.now, editable=False)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["email"]

    class Meta:
        ordering = ("id",)
        constraints = (
            Guard(condition=~Q(name=""), name="user_has_a_name"),
            Guard(condition=~Q(username=""), name="user_username_is_null_or_set"),
        )

    def __str__(self) -> str:
        return self.name

    def get_full_name(self) -> str:
        return self.name

    def clean_fields(self, exclude: Any = None) -> None:
        """Who was given no password does not log in."""
        if not self.password:
            self.set_unusable_password()
        super().clean_fields(exclude)

    def clean(self) -> None:
        """An empty user name is none; addresses compare without case in their domain."""
        self.username = self.username or None
        self.email = UserManager.normalize_email(self.email)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """A log in is not a change: two at a time do not conflict."""
        if list(kwargs.get("update_fields") or ()) == ["last_login"]:
            User.objects.filter(pk=self.pk).update(last_login=self.last_login)
        else:
            super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Raises InUseError where a group that owns something would be left to nobody."""
        with transaction.atomic():
            own = self.roles.filter(is_group_admin=True).values("group")
            groups = Group.objects.select_for_update().filter(pk__in=own)
            held = [group.pk for group in groups]  # of two who leave the second is seen as the last
            others = Role.objects.filter(is_group_admin=True).exclude(user=self).values("group")
            left = Group.objects.filter(pk__in=held).exclude(pk__in=others)
            left = left.filter(Q(nodes__isnull=False) | Q(slices__isnull=False)).distinct()
            if left:
                names = ", ".join(group.name for group in left)
                raise InUseError(
                    f"{self} is the only administrator of groups with nodes or slices: {names}",
                    hint="make somebody else one first",
                )
            return super().delete(*args, **kwargs)

    @property
    def is_staff(self) -> bool:
        """Everybody may open the pages; what they show and allow is the policy's affair."""
        return self.is_active

    def has_perm(self, perm: str, obj: models.Model | None = None) -> bool:
        """Django's pages ask so: `nodes.change_node`."""
        from vct.controller.permissions import has_perm

        return has_perm(self, perm, obj)

    def has_perms(self, perm_list: list[str], obj: models.Model | None = None) -> bool:
        return all(self.has_perm(perm, obj) for perm in perm_list)

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_active


class Group(Described):
    """Owns nodes and slices; its members' roles say what they may do with them."""

    name = models.CharField(max_length=32, unique=True, validators=[check_name])
    allow_nodes = models.BooleanField(default=False)
    allow_slices = models.BooleanField(default=False)
    users = models.ManyToManyField(User, through="Role", related_name="groups")

    class Meta:
        ordering = ("id",)
        constraints = (Guard(condition=~Q(name=""), name="group_has_a_name"),)

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """What the group may no longer have running is taken down with the permission."""
        with transaction.atomic():
            super().save(*args, **kwargs)
            if not self.allow_nodes:
                running = self.nodes.filter(set_state=NodeSetState.PRODUCTION)
                running.update(set_state=NodeSetState.SAFE, version=F("version") + 1)
            if not self.allow_slices:
                started = self.slices.filter(set_state=SliverSetState.START)
                started.update(set_state=SliverSetState.DEPLOY, version=F("version") + 1)


class Role(Checked):
    """What one user may do in one group; a member without any of the three just belongs to it."""

    user = models.ForeignKey(User, models.CASCADE, related_name="roles")
    group = models.ForeignKey(Group, models.CASCADE, related_name="roles")
    is_group_admin = models.BooleanField(default=False)
    is_node_admin = models.BooleanField("technician", default=False)
    is_slice_admin = models.BooleanField("researcher", default=False)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("user", "group"), name="role_once_per_user_and_group"),
        )

    def __str__(self) -> str:
        return f"{self.user} in {self.group}"


class AuthToken(Checked):
    """A public key of a user, as nodes and slivers install it: an SSH key line, or PEM."""

    user = models.ForeignKey(User, models.CASCADE, related_name="auth_tokens")
    data = models.TextField(validators=[check_auth_token])

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(fields=("user", "data"), name="auth_token_once_per_user"),
        )

    def __str__(self) -> str:
        return self.data[:40]

    def clean(self) -> None:
        self.data = self.data.strip()


class ApiToken(models.Model):
    """What a program logs in with. Only its digest is kept: who reads the database has no token."""

    user = models.ForeignKey(User, models.CASCADE, related_name="api_tokens")
    digest = models.CharField(max_length=64, unique=True)
    made_on = models.DateTimeField(default=timezone.now, editable=False)
    used_on = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"token of {self.user}"


def issue_token(user: User) -> str:
    """A new token, 40 hex digits; it can be read here and never again."""
    token = secrets.token_hex(TOKEN_LENGTH)
    with transaction.atomic():
        new = ApiToken.objects.create(user=user, digest=token_digest(token))
        others = user.api_tokens.exclude(pk=new.pk)  # a clock that went back makes it the oldest
        kept = others.order_by("-used_on", "-id").values_list("id", flat=True)[: TOKENS_MAX - 1]
        others.exclude(pk__in=list(kept)).delete()
    return token


def token_digest(token: str) -> str:
    """As random as the token is, it needs no salt and no slow hash."""
    return hashlib.sha256(token.encode()).hexdigest()


def set_roles(group: Group, roles: list[Role]) -> None:
    """The group's roles become these (unsaved) ones. Raises ValidationError without an admin."""
    if not any(role.is_group_admin for role in roles):
        raise ValidationError({"user_roles": "The group must have at least one administrator."})
    with transaction.atomic():
        group.roles.all().delete()
        for role in roles:
            role.group = group
            role.save()
