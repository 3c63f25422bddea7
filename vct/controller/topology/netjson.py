"""The testbed as a NetJSON NetworkGraph (netjson.org): out for maps, in for its links.

Nodes are known by their four hex digits. What is read of a document are `links`; all else is the
registry's affair. Positions are properties of nodes, `latitude` and `longitude` in degrees.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count
from django.urls import reverse
from django.utils import timezone

from vct.controller.nodes.models import Node
from vct.controller.topology.models import Link
from vct.wire.states import NodeState

LINKS_MAX = 20_000
NODE_ID = re.compile(r"[0-9a-f]{4}")
LATITUDE_MAX, LONGITUDE_MAX = 90.0, 180.0


def network() -> dict[str, Any]:
    """The whole graph, in two queries."""
    nodes = Node.objects.select_related("status", "group").annotate(n_slivers=Count("slivers"))
    nodes = nodes.order_by("id")  # a count takes the usual order away
    now = timezone.now()
    return {
        "type": "NetworkGraph",
        "protocol": "static",
        "version": None,
        "metric": None,
        "label": settings.CONFIG.testbed,
        "nodes": [_node(node, _state(node, now)) for node in nodes],
        "links": [_link(link) for link in Link.objects.all()],
    }


def location(properties: Mapping[str, str]) -> dict[str, float] | None:
    """Where a node is, if its properties say something that can be on a map."""
    try:
        latitude, longitude = float(properties["latitude"]), float(properties["longitude"])
    except (KeyError, ValueError):
        return None
    if abs(latitude) <= LATITUDE_MAX and abs(longitude) <= LONGITUDE_MAX:
        return {"lat": latitude, "lng": longitude}
    return None


def set_links(document: object) -> bool:
    """The testbed's links become those of the document; whether anything changed.

    Raises ValidationError, and nothing is changed then.
    """
    wanted = [_read(one) for one in _links_of(document)]
    with transaction.atomic():
        known = [(one.source_id, one.target_id, one.properties) for one in Link.objects.all()]
        if known == wanted:
            return False
        nodes = set(Node.objects.values_list("id", flat=True))
        for end in (end for one in wanted for end in one[:2]):
            if end not in nodes:
                raise ValidationError({"links": f"There is no node {end:04x}."})
        Link.objects.all().delete()
        links = [Link(source_id=a, target_id=b, properties=about) for a, b, about in wanted]
        for link in links:
            link.clean()
            link.clean_fields(exclude=("source", "target"))  # looked up above, all at once
        Link.objects.bulk_create(links, 500)
    return True


def _state(node: Node, now: Any) -> str:
    status = getattr(node, "status", None)
    return status.current(now) if status else NodeState.NODATA


def _node(node: Node, state: str) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "state": state,
        "sentence": NodeState(state).sentence,
        "set_state": node.set_state,
        "arch": node.arch,
        "group": node.group.name,
        "slivers": getattr(node, "n_slivers", 0),
        "page": reverse("admin:nodes_node_change", args=(node.pk,)),
    }
    if place := location(node.properties):
        properties["location"] = place
    return {"id": node.hex_id, "label": node.name, "properties": properties}


def _link(link: Link) -> dict[str, Any]:
    ends = {"source": f"{link.source_id:04x}", "target": f"{link.target_id:04x}"}
    return {**ends, "cost": 1.0, "properties": link.properties}


def _links_of(document: object) -> Sequence[object]:
    if not isinstance(document, dict) or document.get("type") != "NetworkGraph":
        raise ValidationError({"type": "This must be a NetJSON NetworkGraph."})
    links = document.get("links")
    if not isinstance(links, list) or len(links) > LINKS_MAX:
        raise ValidationError({"links": f"This must be a list of at most {LINKS_MAX} links."})
    return links


def _read(link: object) -> tuple[int, int, dict[str, str]]:
    if not isinstance(link, dict):
        raise ValidationError({"links": "A link is an object."})
    ends = [_number(link.get(end)) for end in ("source", "target")]
    return ends[0], ends[1], link.get("properties") or {}


def _number(identifier: object) -> int:
    if isinstance(identifier, str) and NODE_ID.fullmatch(identifier):
        return int(identifier, 16)
    raise ValidationError({"links": f"{identifier!r} is not a node's id, four hex digits."})
