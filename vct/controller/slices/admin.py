"""Templates, slices and slivers; what is done to selected ones."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from vct.controller import permissions
from vct.controller.policy import Action
from vct.controller.slices import rules, verbs
from vct.controller.slices.interfaces import USUAL, Interface
from vct.controller.slices.models import (
    Slice,
    SliceResource,
    Sliver,
    SliverInterface,
    SliverResource,
    Template,
    today,
)
from vct.controller.state.models import want_poll
from vct.controller.web import marks
from vct.controller.web.base import OfGroup, Parts, Rows, VersionedForm
from vct.wire.limits import Arch, InterfaceType
from vct.wire.states import SliverSetState


class TemplateForm(VersionedForm):
    """Architectures are chosen, not typed."""

    node_archs = forms.MultipleChoiceField(
        choices=[(str(arch), str(arch)) for arch in Arch], widget=forms.CheckboxSelectMultiple
    )


@admin.register(Template)
class Templates(Rows):
    """Root file systems of slivers."""

    form = TemplateForm
    list_display = ("name", "type", "archs", "is_active", "image_uri", "image_file")
    list_filter = ("type", "is_active")
    list_select_related = ("image_file",)
    search_fields = ("name", "description")
    readonly_fields = ("image_file",)
    fieldsets = (
        (None, {"fields": ("name", "description", "type", "node_archs", "is_active")}),
        ("Image", {"fields": ("image_uri", "image_sha256", "image_file")}),
    )

    @admin.display(description="architectures")
    def archs(self, template: Template) -> str:
        return ", ".join(template.node_archs)


class SliceResources(Parts):
    """What each of its slivers asks for."""

    model = SliceResource


@admin.register(Slice)
class Slices(OfGroup):
    """Experiments."""

    list_display = ("name", "group", "told", "template", "n_slivers", "ends", "isolated_vlan_tag")
    list_filter = ("set_state", "group", "template", "expires_on")
    list_select_related = ("group", "template")
    search_fields = ("name", "description", "group__name")
    date_hierarchy = None
    actions = ("to_register", "to_deploy", "to_start", "renew", "reset")
    fixed = ("group",)
    inlines = (SliceResources,)
    readonly_fields = (
        "expires_on",
        "instance_sn",
        "isolated_vlan_tag",
        "data_file",
        "overlay_file",
    )
    fieldsets = (
        (
            None,
            {"fields": ("name", "description", "group", "set_state", "expires_on", "properties")},
        ),
        (
            "Slivers",
            {"fields": ("template", "sliver_set_state", "data_uri", "data_sha256", "data_file")},
        ),
        ("Isolated interfaces", {"fields": ("allow_isolated", "isolated_vlan_tag")}),
        (
            "Overlay",
            {"classes": ("collapse",), "fields": ("overlay_uri", "overlay_sha256", "overlay_file")},
        ),
    )

    @admin.display(description="told to be", ordering="set_state")
    def told(self, slice_: Slice) -> SafeString:
        return marks.told_mark(SliverSetState(slice_.set_state))

    @admin.display(description="slivers", ordering="n_slivers")
    def n_slivers(self, slice_: Any) -> int:
        count: int = slice_.n_slivers
        return count

    @admin.display(description="ends on", ordering="expires_on")
    def ends(self, slice_: Slice) -> str:
        soon = " soon" if rules.ends_soon(slice_.expires_on, today()) else ""
        return f"{slice_.expires_on:%Y-%m-%d}{soon}"

    @admin.action(
        description="Register selected slices: nothing on the nodes", permissions=["change"]
    )
    def to_register(self, request: HttpRequest, queryset: QuerySet[Slice]) -> None:
        self._move(request, queryset, SliverSetState.REGISTER)

    @admin.action(description="Deploy selected slices", permissions=["change"])
    def to_deploy(self, request: HttpRequest, queryset: QuerySet[Slice]) -> None:
        self._move(request, queryset, SliverSetState.DEPLOY)

    @admin.action(description="Start selected slices", permissions=["change"])
    def to_start(self, request: HttpRequest, queryset: QuerySet[Slice]) -> None:
        self._move(request, queryset, SliverSetState.START)

    @admin.action(description="Renew selected slices", permissions=["change"])
    def renew(self, request: HttpRequest, queryset: QuerySet[Slice]) -> None:
        self.each(request, queryset, Action.RENEW, "renew", verbs.renew)

    @admin.action(description="Reset selected slices: new file systems", permissions=["change"])
    def reset(self, request: HttpRequest, queryset: QuerySet[Slice]) -> None:
        self.each(request, queryset, Action.RESET, "reset", verbs.reset)

    def _move(self, request: HttpRequest, slices: QuerySet[Slice], state: SliverSetState) -> None:
        self.each(
            request, slices, Action.CHANGE, str(state), lambda one: one.change(set_state=state)
        )


class InterfaceFormSet(forms.BaseInlineFormSet):  # type: ignore[type-arg]
    """Rules for interfaces are about all of them together."""

    def clean(self) -> None:
        super().clean()
        sliver = self.instance
        if any(self.errors) or not sliver.slice_id or not sliver.node_id:
            return
        try:
            verbs.check_interfaces(self.wanted(), verbs.place_of(sliver.slice, sliver.node))
        except ValidationError as error:
            raise ValidationError(error.messages) from error

    def wanted(self) -> tuple[Interface, ...]:
        """All that are not to be deleted; the usual ones when there is none."""
        kept = [one.cleaned_data for one in self.forms if one.cleaned_data.get("type")]
        return (
            tuple(
                Interface(
                    nr=one["nr"],
                    type=InterfaceType(one["type"]),
                    name=one["name"],
                    parent=one["parent"].name if one["parent"] else None,
                )
                for one in kept
                if not one.get("DELETE")
            )
            or USUAL
        )


class Interfaces(Parts):
    """Without any a new sliver gets a private and a management interface."""

    model = SliverInterface
    formset = InterfaceFormSet
    readonly_fields = ("address",)

    @admin.display(description="address")
    def address(self, interface: SliverInterface) -> str:
        return str(interface.address or "not known here") if interface.pk else ""

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """The node's direct interfaces; a new sliver has no node yet."""
        number = getattr(request.resolver_match, "kwargs", {}).get("object_id", "")
        sliver = Sliver.objects.filter(pk=number).first() if number.isdecimal() else None
        related = db_field.related_model.objects
        kwargs["queryset"] = related.filter(node=sliver.node_id) if sliver else related.none()
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class SliverResources(Parts):
    """What this one asks for."""

    model = SliverResource


@admin.register(Sliver)
class Slivers(Rows):
    """A slice's containers on nodes."""

    list_display = ("api_id", "slice", "node", "told", "now", "template", "instance_sn")
    list_display_links = ("api_id",)
    list_filter = ("slice__set_state", "status__value", "slice", "node")
    list_select_related = ("slice", "node", "template", "status")
    search_fields = ("slice__name", "node__name", "description")
    actions = ("to_deploy", "to_start", "to_default", "update", "ask_now")
    fixed = ("slice", "node")
    inlines = (Interfaces, SliverResources)
    readonly_fields = ("instance_sn", "now", "answer", "changes", "data_file", "overlay_file")
    fieldsets = (
        (None, {"fields": ("slice", "node", "description", "template", "set_state", "properties")}),
        ("State", {"fields": ("now", "answer", "changes", "instance_sn")}),
        ("Data", {"fields": ("data_uri", "data_sha256", "data_file")}),
        (
            "Overlay",
            {"classes": ("collapse",), "fields": ("overlay_uri", "overlay_sha256", "overlay_file")},
        ),
    )

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """The slices that the user may make a sliver of."""
        if db_field.name == "slice":
            allowed = [
                one.pk
                for one in Slice.objects.select_related("group")
                if permissions.allowed(request, Action.CREATE, Sliver(slice=one))
            ]
            kwargs["queryset"] = Slice.objects.filter(pk__in=allowed)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Interfaces are written all together."""
        if isinstance(formset, InterfaceFormSet):
            formset.save(commit=False)
            if formset.has_changed() or not change:
                verbs.set_interfaces(form.instance, formset.wanted())
            return
        super().save_formset(request, form, formset, change)

    @admin.display(description="told to be", ordering="slice__set_state")
    def told(self, sliver: Sliver) -> SafeString:
        return marks.told_mark(sliver.effective_set_state)

    @admin.display(description="is", ordering="status__value")
    def now(self, sliver: Sliver) -> SafeString:
        return marks.current_mark(sliver)

    @admin.display(description="last answer")
    def answer(self, sliver: Sliver) -> str:
        return marks.answer(sliver)

    @admin.display(description="last changes")
    def changes(self, sliver: Sliver) -> str:
        return marks.history(sliver)

    @admin.display(description="id", ordering="id")
    def api_id(self, sliver: Sliver) -> str:
        return sliver.api_id

    @admin.action(description="Deploy selected slivers", permissions=["change"])
    def to_deploy(self, request: HttpRequest, queryset: QuerySet[Sliver]) -> None:
        self._move(request, queryset, SliverSetState.DEPLOY)

    @admin.action(description="Start selected slivers", permissions=["change"])
    def to_start(self, request: HttpRequest, queryset: QuerySet[Sliver]) -> None:
        self._move(request, queryset, SliverSetState.START)

    @admin.action(description="Let the slice decide for selected slivers", permissions=["change"])
    def to_default(self, request: HttpRequest, queryset: QuerySet[Sliver]) -> None:
        self._move(request, queryset, None)

    @admin.action(description="Update selected slivers: make them anew", permissions=["change"])
    def update(self, request: HttpRequest, queryset: QuerySet[Sliver]) -> None:
        self.each(request, queryset, Action.UPDATE, "update", verbs.update)

    @admin.action(description="Ask for the state of selected slivers now", permissions=["change"])
    def ask_now(self, request: HttpRequest, queryset: QuerySet[Sliver]) -> None:
        self.each(request, queryset, Action.POLL, "ask now", want_poll)

    def _move(
        self, request: HttpRequest, slivers: QuerySet[Sliver], state: SliverSetState | None
    ) -> None:
        word = str(state or "as the slice")
        self.each(request, slivers, Action.CHANGE, word, lambda one: one.change(set_state=state))
