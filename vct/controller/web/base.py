"""What all lists and forms of the registry have in common.

They ask the policy about each row, write to the audit log, notice that somebody else changed the
same thing, and say in words what went wrong.

The `admin` modules of the applications build on `Rows` and `Parts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Count, Model, ProtectedError, QuerySet, RestrictedError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from vct.controller import permissions
from vct.controller.audit.models import record
from vct.controller.policy import SUPERUSER_MEMBERS, Action
from vct.controller.problems import ControllerError, ForbiddenError
from vct.controller.users.models import Group

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
    ModelForm = forms.ModelForm[Any]
else:
    ModelAdmin, TabularInline, ModelForm = admin.ModelAdmin, admin.TabularInline, forms.ModelForm

REFUSALS = (ControllerError, ValidationError, IntegrityError, ProtectedError, RestrictedError)
ERRORS_SHOWN = 10
VALUE_KEPT = 500  # signs of a value in the audit log


def words_of(error: Exception) -> str:
    """One line for people."""
    match error:
        case ValidationError():
            return " ".join(error.messages)
        case ControllerError():
            return f"{error.message}; {error.hint}" if error.hint else error.message
        case ProtectedError() | RestrictedError():
            return "It cannot be deleted, others need it."
    return "Somebody else made the same thing at the same moment. Try again."


def address_of(request: HttpRequest) -> str | None:
    """For the audit log."""
    return request.META.get("REMOTE_ADDR") or None


class VersionedForm(ModelForm):
    """Refuses to overwrite what somebody else saved since the page was opened."""

    seen_version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is not None and "seen_version" in self.fields:
            self.initial["seen_version"] = self.instance.version

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        seen = self.cleaned_data.get("seen_version")
        if not self.instance._state.adding and seen != self.instance.version:
            raise ValidationError(
                "Somebody else changed this since you opened it. Open it again, then repeat your "
                "change.",
                code="conflict",
            )
        return cleaned


class Asking(admin.options.BaseModelAdmin):  # type: ignore[type-arg]
    """Rights are those of the policy; for a part of an object those of changing the object."""

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        if obj is None:
            return super().has_view_permission(request)
        return permissions.allowed(request, Action.READ, obj)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        if obj is None:
            return super().has_change_permission(request)
        return permissions.allowed(request, Action.CHANGE, obj)


class Rows(Asking, ModelAdmin):
    """A list of one kind of object, and the form for one."""

    form: type[ModelForm] = VersionedForm
    list_per_page = 50
    show_full_result_count = False
    save_on_top = False
    fixed: Sequence[str] = ()  # fields that are chosen once
    versioned = True

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        if obj is None:
            return super().has_delete_permission(request)
        return permissions.allowed(request, Action.DELETE, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Also what only superusers write, and what is fixed once the object is there."""
        kind = permissions.KINDS.get(self.model)
        reserved = SUPERUSER_MEMBERS.get(kind, frozenset()) if kind else frozenset()
        superuser = bool(getattr(request.user, "is_superuser", False))
        return (
            *super().get_readonly_fields(request, obj),
            *(self.fixed if obj is not None else ()),
            *(() if superuser else sorted(reserved)),
        )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """With the version that the form was made from."""
        fieldsets = list(super().get_fieldsets(request, obj))
        if self.versioned and self.fieldsets and obj and self.has_change_permission(request, obj):
            fieldsets.append((None, {"fields": ("seen_version",)}))
        return fieldsets

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Raises ForbiddenError, ConflictError, ValidationError: nothing is stored then."""
        permissions.require(request, Action.CHANGE if change else Action.CREATE, obj)
        permissions.require_members(request, obj, form.changed_data)
        obj.save()

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        changes = {name: _plain(form.cleaned_data.get(name)) for name in form.changed_data}
        for formset in formsets:
            if formset.has_changed():
                name = str(formset.model._meta.verbose_name_plural)
                changes[name] = [str(one) for one in formset.queryset.all()]
        self.audit(request, "change" if change else "create", form.instance, changes)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        permissions.require(request, Action.DELETE, obj)
        self.audit(request, "delete", obj)
        obj.delete()

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """One by one: models have things to settle when one of them goes."""
        with transaction.atomic():
            for obj in queryset:
                self.delete_model(request, obj)

    def get_deleted_objects(
        self, objs: Sequence[Any] | QuerySet[Any], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """What goes along needs no right of its own: who may delete a node ends its slivers."""
        gone, counts, _, protected = super().get_deleted_objects(objs, request)
        refused = any(not self.has_delete_permission(request, obj) for obj in objs)
        return gone, counts, {str(self.opts.verbose_name)} if refused else set(), protected

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return self._in_words(request, super().changeform_view, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return self._in_words(request, super().delete_view, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return self._in_words(request, super().changelist_view, *args, **kwargs)

    def _in_words(
        self, request: HttpRequest, view: Callable[..., HttpResponse], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except ForbiddenError as error:
            raise PermissionDenied(error.message) from error
        except REFUSALS as error:
            self.message_user(request, words_of(error), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def audit(self, request: HttpRequest, action: str, thing: Model, changes: Any = None) -> None:
        """Who is logged in did that."""
        record(request.user, action, thing, changes, address=address_of(request))  # type: ignore[arg-type]

    def each(
        self,
        request: HttpRequest,
        things: Iterable[Any],
        action: Action,
        word: str,
        do: Callable[[Any], object],
    ) -> None:
        """Does it to each that the user may do it to; says how many, and why not to others."""
        done, refused = 0, []
        for thing in things:
            try:
                with transaction.atomic():
                    permissions.require(request, action, thing)
                    do(thing)
                    self.audit(request, word, thing)
                done += 1
            except REFUSALS as error:
                refused.append(f"{thing}: {words_of(error)}")
        for words in refused[:ERRORS_SHOWN]:
            self.message_user(request, words, messages.ERROR)
        if len(refused) > ERRORS_SHOWN:
            rest = f"and {len(refused) - ERRORS_SHOWN} more refused"
            self.message_user(request, rest, messages.ERROR)
        if done:
            self.message_user(request, f"{word}: {done} done", messages.SUCCESS)


class OfGroup(Rows):
    """What a group owns and people give a set state, which a new one gets by itself."""

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).annotate(n_slivers=Count("slivers"))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return fields if obj else (*fields, "set_state")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """The groups that the user may make one in."""
        if db_field.name == "group":
            allowed = [
                group.pk
                for group in Group.objects.all()
                if permissions.allowed(request, Action.CREATE, self.model(group=group))
            ]
            kwargs["queryset"] = Group.objects.filter(pk__in=allowed)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class ReadOnly(Rows):
    """What the controller itself writes."""

    form: type[ModelForm] = ModelForm
    versioned = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class Parts(Asking, TabularInline):
    """Rows that belong to the object whose form it is; `obj` is always that object."""

    extra = 0

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_change_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A new object may have parts."""
        return obj is None or super().has_change_permission(request, obj)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_change_permission(request, obj)


def _plain(value: object) -> object:
    """As the audit log keeps it."""
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)[:VALUE_KEPT]
