"""Pages of lists: an array as it is, with links to the other pages in the Link header.

Without `per_page` everything is on one page: the original's client library never pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from vct.wire.relations import LINK, link_header

if TYPE_CHECKING:  # imports the settings, which name this module
    from rest_framework.views import APIView

PAGE, PER_PAGE = "page", "per_page"


class LinkPages(BasePagination):
    """`?per_page=10&page=2`. Out of range is the last page, no number is the first."""

    def paginate_queryset(
        self, queryset: Any, request: Request, view: APIView | None = None
    ) -> list[Any]:
        self.request, self.view = request, view
        per_page = _number(request.query_params.get(PER_PAGE))
        if per_page is None:
            self.page = self.last = 1
            return list(queryset)
        count = queryset.count()
        per_page = min(max(per_page, 1), max(count, 1))
        self.last = max(-(-count // per_page), 1)
        page = _number(request.query_params.get(PAGE))
        self.page = 1 if page is None else page if 1 <= page <= self.last else self.last
        start = (self.page - 1) * per_page
        return list(queryset[start : start + per_page])

    def get_paginated_response(self, data: Any) -> Response:
        links = [("first", self._uri(1)), ("last", self._uri(self.last))]
        if self.page > 1:
            links.append(("prev", self._uri(self.page - 1)))
        if self.page < self.last:
            links.append(("next", self._uri(self.page + 1)))
        uris = getattr(self.view, "uris", None)
        more = uris.links_of_list() if uris else []
        return Response(data, headers={LINK: link_header([*more, *links])})

    def _uri(self, page: int) -> str:
        query = self.request.query_params.copy()
        if PER_PAGE in query or page > 1:
            query[PAGE] = str(page)
        asked = query.urlencode()
        path = self.request.build_absolute_uri(self.request.path)
        return f"{path}?{asked}" if asked else path

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        words = {PER_PAGE: "Objects on a page; all on one if it is missing.", PAGE: "From 1 on."}
        return [
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": text,
                "schema": {"type": "integer"},
            }
            for name, text in words.items()
        ]


def _number(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None
