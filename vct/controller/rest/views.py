"""Views of both dialects: lists and objects with links, ETags, conditions, permissions and audit.

A dialect says its `dialect` and `namespace`; a view its resource, serializer, queryset, filters and
functions. Writes are one transaction each.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from django.db import transaction
from django.db.models import Model
from django.http import Http404
from django.utils.functional import cached_property
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from vct.controller import permissions
from vct.controller.audit import models as audit
from vct.controller.policy import Action
from vct.controller.problems import ConflictError
from vct.controller.rest.conditional import (
    PreconditionFailed,
    has_condition,
    require_tag,
    tag_of,
    with_tag,
)
from vct.controller.rest.filters import Filters
from vct.controller.rest.parsers import require_bounded
from vct.controller.rest.uris import Links, Uris, uris_of
from vct.controller.users.models import User
from vct.wire.relations import LINK, LOCATION, Dialect, Function, Resource, link_header, profile

LIST_PROFILE = "resource-list"


class Answering(APIView):
    """What all views of the API do with requests and answers."""

    http_method_names = ["get", "head", "post", "put", "patch", "delete"]  # noqa: RUF012
    dialect: ClassVar[Dialect] = Dialect.REGISTRY
    namespace: ClassVar[str] = "api"
    reference_ids: ClassVar[bool] = True
    without_log_in = False  # writes of anonymous requests get as far as the view
    tagged: ClassVar[bool] = True  # whether answers have an ETag: those that are the object

    @property
    def profile(self) -> str:
        """What the answer's Content-Type names; empty for none."""
        return ""

    @cached_property
    def uris(self) -> Uris:
        return uris_of(self.request, self.namespace, self.dialect, with_ids=self.reference_ids)

    def initialize_request(self, request: Any, *args: Any, **kwargs: Any) -> Request:
        """JSON and forms are in UTF-8, whatever a request calls it."""
        request.encoding = "utf-8"
        return super().initialize_request(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Who says that too much will come is refused before anything is read."""
        require_bounded(request)
        super().initial(request, *args, **kwargs)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        renderer = getattr(response, "accepted_renderer", None)
        if isinstance(renderer, JSONRenderer) and response.status_code < 300:
            if self.profile:
                response.content_type = f'{renderer.media_type}; profile="{self.profile}"'
            if self.tagged:
                response.add_post_render_callback(partial(with_tag, request))
        return response

    def answer(self, data: Any, links: Links, status: int = 200) -> Response:
        """With a Link header if it answers a GET."""
        headers = {LINK: link_header(links)} if self.request.method in ("GET", "HEAD") else None
        return Response(data, status, headers=headers)

    def audit(
        self,
        action: str,
        thing: Model,
        changes: dict[str, object] | None = None,
        *,
        by: User | None = None,
    ) -> None:
        """Writes the log's row; call it in the transaction of the change.

        `by` is who did it where that is not who sent the request's token.
        """
        user = by or self.request.user
        audit.record(
            user if isinstance(user, User) else None,
            action,
            thing,
            changes,
            address=self.request.META.get("REMOTE_ADDR") or None,
        )


class Things(Answering, GenericViewSet[Any]):
    """A list and its objects."""

    resource: ClassVar[Resource]
    functions: ClassVar[tuple[Function, ...]] = ()
    filters: ClassVar[Filters] = {}
    lookup_value_converter = "int"

    @property
    def profile(self) -> str:
        if self.action in ("list", "create"):
            return profile(self.dialect, LIST_PROFILE)
        return profile(self.dialect, self.resource) if self.is_object else ""

    @property
    def tagged(self) -> bool:  # type: ignore[override]
        return self.action in ("list", "create") or self.is_object

    @property
    def is_object(self) -> bool:
        return self.action in ("retrieve", "update", "partial_update")

    def get_serializer_context(self) -> dict[str, Any]:
        context = dict(super().get_serializer_context())
        return {**context, "uris": self.uris} if self.request else context

    def get_object(self) -> Any:
        rows = self.get_queryset().filter(pk=self.kwargs["pk"])
        if not self.is_object:  # what belongs to it is not shown
            rows = rows.prefetch_related(None)
        found = rows.first()
        if found is None:
            raise Http404(f"There is no {self.resource} {self.kwargs['pk']}.")
        return found

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        thing = self.get_object()
        self.fetched(thing)
        links = self.uris.links_of(self.resource, thing.pk, self.functions)
        return self.answer(self.get_serializer(thing).data, links)

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        with transaction.atomic():
            thing = serializer.save()
            self.audit("create", thing, self._sent(serializer))
        thing = self.get_queryset().get(pk=thing.pk)
        return Response(
            self.get_serializer(thing).data,
            201,
            headers={LOCATION: self.uris.of(self.resource, thing.pk)},
        )

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """PUT wants what is required; what it leaves out is kept, as with PATCH."""
        return self._change(request, partial=False)

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self._change(request, partial=True)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        thing = self.get_object()
        permissions.require(request, Action.DELETE, thing)
        self._require_seen(thing)
        with transaction.atomic():
            self.audit("delete", thing)
            thing.delete()
        return Response(status=204)

    def fetched(self, thing: Any) -> None:
        """Called when an object is read."""

    def _change(self, request: Request, *, partial: bool) -> Response:
        thing = self.get_object()
        permissions.require(request, Action.CHANGE, thing)
        self._require_seen(thing)
        serializer = self.get_serializer(thing, data=request.data, partial=partial)
        serializer.is_valid(raise_exception=True)
        try:
            with transaction.atomic():
                thing = serializer.save()
                self.audit("change", thing, self._sent(serializer))
        except ConflictError as error:
            if has_condition(request):
                raise PreconditionFailed from error
            raise
        return Response(self.get_serializer(self.get_object()).data)

    def _require_seen(self, thing: Any) -> None:
        """The condition of a write is about the JSON that GET gives."""
        if has_condition(self.request):
            shown, render = self.get_serializer(thing).data, JSONRenderer().render
            as_asked = self.request.accepted_media_type  # who reads it indented writes so as well
            require_tag(self.request, tag_of(render(shown)), tag_of(render(shown, as_asked)))

    def _sent(self, serializer: Any) -> dict[str, object]:
        """The members that were written, as they were sent."""
        data = serializer.initial_data
        return {
            name: data[name]
            for name, field in serializer.fields.items()
            if not field.read_only and name in data
        }
