"""Which form of an answer a client gets: JSON, whose profile it may ask for, or a page.

A profile in Accept is `http://confine-project.eu/schema/<api>[/v<n>][/<resource>]`; the parts that
are there must be those of what is served.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.http import parse_header_parameters
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.request import Request

from vct.wire.relations import SCHEMA_BASE

if TYPE_CHECKING:  # imports the settings, which name this module
    from rest_framework.views import APIView


class Negotiation(DefaultContentNegotiation):
    """Drops what asks for another profile than the view's; nothing left is 406."""

    def get_accept_list(self, request: Request) -> list[str]:
        view = request.parser_context["view"] if request.parser_context else None
        served = getattr(view, "profile", "")
        return [
            accepted
            for accepted in super().get_accept_list(request)
            if profile_fits(_profile(accepted), served)
        ]


def profile_fits(asked: str, served: str) -> bool:
    """Whether every part that was asked for is the served one's."""
    if not asked:
        return True
    if not asked.startswith(SCHEMA_BASE) or not served:
        return False
    wanted = asked.removeprefix(SCHEMA_BASE).strip("/").split("/")
    there = served.removeprefix(SCHEMA_BASE).split("/")  # api, version, resource
    if len(wanted) > 1 and not _is_version(wanted[1]):
        wanted.insert(1, there[1])
    return wanted == there[: len(wanted)]


def _profile(accepted: str) -> str:
    try:
        return parse_header_parameters(accepted)[1].get("profile", "")
    except ValueError:  # longer than a header may be
        return ""


def _is_version(word: str) -> bool:
    return word[:1] == "v" and word[1:].isdigit()


class Pages(BrowsableAPIRenderer):
    """The browsable pages, with a field for JSON and no forms: bodies are JSON."""

    def render_form_for_serializer(self, serializer: object) -> str:
        return ""

    def get_context(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Without colours for code: no page has styles in itself, see `web.headers`."""
        context: dict[str, Any] = super().get_context(*args, **kwargs)
        return {**context, "code_style": ""}

    def show_form_for_method(
        self, view: APIView, method: str, request: Request, obj: object
    ) -> bool:
        return method in ("POST", "PUT", "PATCH", "DELETE") and request.user.is_authenticated
