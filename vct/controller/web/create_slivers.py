"""The page between choosing nodes and having slivers on them: which slice, told to be what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from vct.controller import permissions
from vct.controller.nodes.models import Node
from vct.controller.policy import Action
from vct.controller.slices import verbs
from vct.controller.slices.interfaces import USUAL
from vct.controller.slices.models import Slice, Sliver, Template
from vct.wire.states import SliverSetState

if TYPE_CHECKING:
    from vct.controller.web.base import Rows

    SliceField = forms.ModelChoiceField[Slice]
    TemplateField = forms.ModelChoiceField[Template]
else:
    SliceField = TemplateField = forms.ModelChoiceField

CONFIRMED = "confirmed"


class SliversForm(forms.Form):
    """What all the new slivers have in common."""

    slice = SliceField(Slice.objects.none(), empty_label=None)
    template = TemplateField(
        Template.objects.filter(is_active=True), required=False, empty_label="the slice's"
    )
    set_state = forms.ChoiceField(
        choices=[("", "the slice's"), *((str(state), str(state)) for state in SliverSetState)],
        required=False,
        label="Told to be",
    )


def slices_of(request: HttpRequest) -> QuerySet[Slice]:
    """Those that the user may make slivers of."""
    slices = Slice.objects.select_related("group")
    allowed = [
        one.pk for one in slices if permissions.allowed(request, Action.CREATE, Sliver(slice=one))
    ]
    return slices.filter(pk__in=allowed)


def create_slivers(page: Rows, request: HttpRequest, nodes: QuerySet[Node]) -> HttpResponse | None:
    """An action of the list of nodes. None leads back to the list, with messages."""
    slices = slices_of(request)
    if not slices:
        words = "There is no slice that you may make slivers of. Make one first."
        page.message_user(request, words, messages.ERROR)
        return None
    form = SliversForm(request.POST if CONFIRMED in request.POST else None)
    form.fields["slice"].queryset = slices  # type: ignore[attr-defined]
    if form.is_valid():
        _create(page, request, nodes, form.cleaned_data)
        return None
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "Create slivers",
        "opts": page.opts,
        "form": form,
        "nodes": nodes,
        "checkbox": ACTION_CHECKBOX_NAME,
        "confirmed": CONFIRMED,
    }
    return TemplateResponse(request, "web/create_slivers.html", context)


def _create(page: Rows, request: HttpRequest, nodes: QuerySet[Node], told: dict[str, Any]) -> None:
    def make(sliver: Sliver) -> None:
        verbs.create_sliver(sliver, USUAL)

    slivers = [
        Sliver(
            slice=told["slice"],
            node=node,
            template=told["template"],
            set_state=told["set_state"] or None,
        )
        for node in nodes
    ]
    page.each(request, slivers, Action.CREATE, "create sliver", make)
