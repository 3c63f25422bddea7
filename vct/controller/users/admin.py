"""Users with their keys, groups with the roles of their members, tokens of programs."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import BaseUserCreationForm
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse

from vct.controller.policy import Action
from vct.controller.users.models import ApiToken, AuthToken, Group, Role, User
from vct.controller.web.base import Parts, ReadOnly, Rows, VersionedForm


class AuthTokens(Parts):
    """Public keys that nodes and slivers install."""

    model = AuthToken
    verbose_name_plural = "public keys"


class NewUserForm(BaseUserCreationForm):  # type: ignore[type-arg]
    """A user who logs in."""

    class Meta:
        model = User
        fields = ("username", "name", "email")


@admin.register(User)
class Users(Rows, UserAdmin):  # type: ignore[type-arg]
    """Django's own form for passwords; the rest is ours."""

    form = VersionedForm
    add_form = NewUserForm
    list_display = ("name", "username", "email", "is_active", "is_superuser", "last_login")
    list_filter = ("is_active", "is_superuser", "groups")
    search_fields = ("name", "username", "email")
    ordering = ("name",)
    filter_horizontal = ()
    readonly_fields = ("date_joined", "last_login")
    inlines = (AuthTokens,)
    fieldsets = (
        (None, {"fields": ("username", "name", "email", "description")}),
        ("Rights", {"fields": ("is_active", "is_superuser")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "name", "email", "password1", "password2")}),)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else ()

    def user_change_password(
        self,
        request: HttpRequest,
        id: str,  # noqa: A002 - Django's name
        form_url: str = "",
    ) -> HttpResponse:
        """Without the old one only superusers set a password; others: Change password."""
        if not getattr(request.user, "is_superuser", False):
            raise PermissionDenied
        with transaction.atomic():
            response: HttpResponse = super().user_change_password(request, id, form_url)
            if request.method == "POST" and response.status_code == 302:
                user = User.objects.get(pk=id)
                self.audit(request, Action.CHANGE_AUTH, user, {"password": ""})
        return response


class RoleFormSet(forms.BaseInlineFormSet):  # type: ignore[type-arg]
    """A group without an administrator could be changed by nobody; a new one gets who makes it."""

    def clean(self) -> None:
        super().clean()
        if self.instance._state.adding:
            return
        kept = [form.cleaned_data for form in self.forms if getattr(form, "cleaned_data", None)]
        if not any(one.get("is_group_admin") for one in kept if not one.get("DELETE")):
            raise forms.ValidationError("The group must have at least one administrator.")


class Roles(Parts):
    """Who is what in the group."""

    model = Role
    formset = RoleFormSet


@admin.register(Group)
class Groups(Rows):
    """Whoever makes a group is its administrator."""

    list_display = ("name", "allow_nodes", "allow_slices", "description")
    list_filter = ("allow_nodes", "allow_slices")
    search_fields = ("name", "description")
    fieldsets = ((None, {"fields": ("name", "description", "allow_nodes", "allow_slices")}),)
    inlines = (Roles,)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        group = form.instance
        if not change and not group.roles.filter(is_group_admin=True).exists():
            role = group.roles.filter(user=request.user.pk).first() or Role(group=group)
            role.user, role.is_group_admin = cast(User, request.user), True
            role.save()


@admin.register(ApiToken)
class ApiTokens(ReadOnly):
    """Deleting one ends what a program may; the token itself is shown nowhere."""

    list_display = ("user", "made_on", "used_on")
    fields: ClassVar[Any] = ("user", "made_on", "used_on")
    search_fields = ("user__name",)

    def get_queryset(self, request: HttpRequest) -> Any:
        """One's own; superusers see all."""
        tokens = super().get_queryset(request).select_related("user")
        return (
            tokens
            if getattr(request.user, "is_superuser", False)
            else tokens.filter(user=request.user.pk)
        )

    def has_module_permission(self, request: HttpRequest) -> bool:
        return True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None or self._own(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None or self._own(request, obj)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self.audit(request, "delete", obj)
        obj.delete()

    def _own(self, request: HttpRequest, token: ApiToken) -> bool:
        superuser = bool(getattr(request.user, "is_superuser", False))
        return superuser or token.user_id == request.user.pk
