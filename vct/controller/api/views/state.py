"""What nodes and slivers were last seen to be, and the sign of life that their own requests are."""

from __future__ import annotations

import logging
from typing import Any

from django.db import OperationalError, transaction
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from vct.controller import permissions
from vct.controller.nodes.models import Node
from vct.controller.policy import Action
from vct.controller.rest.fields import Text, timestamp
from vct.controller.rest.functions import WithFunctions, also, function, require_no_body
from vct.controller.slices.models import Sliver
from vct.controller.state.models import Status, heartbeat, want_poll
from vct.wire.relations import Function

LOG = logging.getLogger(__name__)


class StateShape(serializers.Serializer[Any]):
    """The last known state. Times are null for what has not happened."""

    url = Text()
    current = Text()
    last_change_on = Text(allow_null=True)
    last_seen_on = Text(allow_null=True)
    last_try_on = Text(allow_null=True)
    verified = serializers.BooleanField()
    metadata = serializers.JSONField()
    data = serializers.JSONField()  # type: ignore[assignment]


class WithState(WithFunctions):
    """`ctl/state/` of nodes and slivers."""

    @function(Function.STATE, method="get", gives=StateShape)
    def state(self, request: Request, pk: int) -> Response:
        """Says `nodata` when it was not asked recently."""
        return Response(shown(self.get_object()))

    @also(state, "post", gives=StateShape)
    def poll(self, request: Request, pk: int) -> Response:
        """Has it asked at once; what is answered is the state as it was known before."""
        thing = self.get_object()
        permissions.require(request, Action.POLL, thing)
        require_no_body(request)
        with transaction.atomic():
            want_poll(thing)
            self.audit(Action.POLL, thing)
        return Response(shown(thing))

    def fetched(self, thing: Any) -> None:
        """A node that fetches itself, or one of its slivers, lives."""
        node = thing if isinstance(thing, Node) else thing.node
        if node.pk != permissions.node_of_address(self.request.META.get("REMOTE_ADDR", "")):
            return
        try:
            heartbeat(node)
            if isinstance(thing, Sliver):
                heartbeat(thing)
        except OperationalError as error:  # what it fetches is more important
            LOG.warning("no heartbeat of %s: %s", node, error)


def shown(thing: Node | Sliver) -> dict[str, Any]:
    """The state object of the API."""
    status = thing.status if hasattr(thing, "status") else Status()
    never = status.pk is None
    return {
        "url": status.metadata.get("url", ""),
        "current": status.current(),
        "last_change_on": None if never else timestamp(status.changed_on),
        "last_seen_on": timestamp(status.seen_on) if status.seen_on else None,
        "last_try_on": timestamp(status.tried_on) if status.tried_on else None,
        "verified": status.verified,
        "metadata": status.metadata or "",
        "data": "" if status.data is None else status.data,
    }
