"""The dashboard and the map. Both want a log in; what they show everybody may read."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from vct.controller.web import overview
from vct.wire.states import NodeState


@require_safe
@login_required
def dashboard(request: HttpRequest) -> HttpResponse:
    """Nodes and slices with their states, what ends soon, what was changed last."""
    return render(
        request, "web/dashboard.html", {**_context(request), **overview.overview(request)}
    )


@require_safe
@login_required
def map_page(request: HttpRequest) -> HttpResponse:
    """The graph itself is drawn by the browser, from `/map/network.json`."""
    legend = [(str(state), state.sentence) for state in NodeState]
    return render(request, "web/map.html", {**_context(request), "legend": legend})


def _context(request: HttpRequest) -> dict[str, Any]:
    return {**admin.site.each_context(request), "has_permission": True}
