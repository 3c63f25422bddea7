"""What nodes are asked, and what they said written down: between `polling` and the database.

What did not change is written in a few large updates, what did one by one with history. `rounds`
calls it.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from ipaddress import IPv6Network
from typing import Any

from django.conf import settings
from django.db import IntegrityError
from django.db.models import F, Q
from django.utils import timezone

from vct.controller.mgmt.models import mgmt_address, plan
from vct.controller.nodes.models import Node
from vct.controller.pki.authority import authority_certificate
from vct.controller.slices.models import Sliver
from vct.controller.state import rules
from vct.controller.state.models import Status, record
from vct.controller.state.polling import Answer, Question, Visit
from vct.controller.state.trust import Trust
from vct.errors import VctError
from vct.wire.relations import Function
from vct.wire.states import NodeState, SliverState

LOG = logging.getLogger(__name__)
AT_A_TIME = 500  # rows in one statement
SOFT_VERSION_MAX = 128


def api_base(node: Node) -> str:
    """Where a node's API is; the original's place if nobody said."""
    return node.api_base_uri or f"https://[{mgmt_address(node)}]/confine/api/"


def refresh_uris(nodes: Iterable[int]) -> dict[int, str]:
    """Where those of the nodes that have an API are told to fetch their orders.

    Not those that nobody ever heard of: their first fetch gives them what there is.
    """
    known = Node.objects.filter(pk__in=list(nodes), status__contact_on__isnull=False)
    chosen = known.exclude(api_base_uri="")
    return {node.pk: f"{api_base(node)}node/{Function.REFRESH.path}" for node in chosen}


def shift_times(by: timedelta) -> None:
    """After the clock jumped (or the host slept): what was seen a minute ago still was."""
    Status.objects.update(
        seen_on=F("seen_on") + by, contact_on=F("contact_on") + by, tried_on=F("tried_on") + by
    )


def networks() -> list[IPv6Network]:
    """Where the controller asks: the management, debug and private networks of the testbed."""
    addresses = plan()
    return [
        IPv6Network((prefix, 48), strict=False)
        for prefix in (addresses.mgmt, addresses.debug, addresses.private)
    ]


def statuses(nodes: Iterable[int] | None) -> dict[int, Status]:
    """What is known of these nodes (of all) and their slivers, by the rows' keys.

    Makes rows for those that nobody asked yet.
    """
    chosen = Q() if nodes is None else Q(pk__in=list(nodes))
    of_chosen = Q() if nodes is None else Q(node__in=list(nodes or ()))
    new = [Status(node=node) for node in Node.objects.filter(chosen, status=None)]
    new += [Status(sliver=sliver) for sliver in Sliver.objects.filter(of_chosen, status=None)]
    Status.objects.bulk_create(new, AT_A_TIME, ignore_conflicts=True)
    known = Status.objects.select_related("node", "sliver__node")
    if nodes is not None:
        known = known.filter(Q(node__in=list(nodes)) | Q(sliver__node__in=list(nodes)))
    return {status.pk: status for status in known}


def visits(statuses: Mapping[int, Status]) -> list[Visit]:
    """What to ask: each node, and if it answers its slivers."""
    slivers: dict[int, list[Question]] = defaultdict(list)
    for status in statuses.values():
        if status.sliver:
            url = f"{api_base(status.sliver.node)}slivers/{status.sliver_id}/"
            slivers[status.sliver.node_id].append(_question(status, url))
    authority = _authority()
    return [
        Visit(
            node=_question(status, f"{api_base(status.node)}node/"),
            slivers=tuple(slivers[status.node.pk]),
            trust=Trust(
                address=str(mgmt_address(status.node)),
                certificate=status.node.api_cert,
                authority=authority,
            ),
        )
        for status in statuses.values()
        if status.node
    ]


def _question(status: Status, url: str) -> Question:
    """The tag holds for where it came from, and only while what it stands for is kept."""
    same = status.data is not None and status.metadata.get("url") == url
    return Question(key=status.pk, url=url, etag=status.etag if same else "")


def _authority() -> str:
    try:
        return authority_certificate()
    except VctError:
        return ""  # none made yet: nothing is verified


def store(statuses: Mapping[int, Status], answers: Sequence[Answer]) -> None:
    """Writes down what came; the values of the statuses become the new ones."""
    if not answers:
        return
    now = timezone.now()
    same: dict[bool, list[int]] = defaultdict(list)
    there = set(Status.objects.values_list("pk", flat=True))  # others were deleted meanwhile
    for answer in (answer for answer in answers if answer.key in there):
        status = statuses[answer.key]
        found = _found(status, answer, now)
        if _differs(status, found, now):
            _record(status, found, now)
        else:
            same[answer.answered].append(status.pk)
    for answered, keys in same.items():
        times = {"tried_on": now, **({"contact_on": now} if answered else {})}
        for start in range(0, len(keys), AT_A_TIME):
            Status.objects.filter(pk__in=keys[start : start + AT_A_TIME]).update(**times)


def _found(status: Status, answer: Answer, now: datetime) -> dict[str, Any]:
    """The fields of a status that an answer gives; what was known stays when nothing came."""
    if not answer.answered:
        silence = {"verified": False, "metadata": answer.metadata}
        return {"value": str(NodeState.OFFLINE), **silence}
    document = status.data if answer.unchanged else answer.document
    known = list(NodeState) if status.node else list(SliverState)
    said = (document or {}).get("soft_version")
    return {
        "value": str(rules.value_of_answer(document, known)),
        "data": document,
        "etag": status.etag if answer.unchanged else answer.etag,
        "verified": answer.verified,
        "metadata": status.metadata if answer.unchanged else answer.metadata,
        "contact_on": now,
        "soft_version": said[:SOFT_VERSION_MAX] if isinstance(said, str) else "",
    }


def _differs(status: Status, found: dict[str, Any], now: datetime) -> bool:
    """Whether there is more to write than when; headers as dates are not worth it."""
    value = rules.concluded(
        found["value"], seen_on=status.seen_on, made_on=_thing(status).made_on, now=now
    )
    if status.tried_on is None or value != status.value:
        return True
    words = [metadata.get("exception") for metadata in (found["metadata"], status.metadata)]
    fields = ("data", "etag", "verified", "soft_version")
    return words[0] != words[1] or any(
        found[field] != getattr(status, field) for field in fields if field in found
    )


def _record(status: Status, found: dict[str, Any], now: datetime) -> None:
    try:
        status.value = record(_thing(status), found.pop("value"), now=now, **found).value
    except IntegrityError:
        LOG.info("status %d was deleted while it was written", status.pk)


def _thing(status: Status) -> Node | Sliver:
    thing = status.node or status.sliver
    assert thing is not None, "the database has a constraint for this"  # noqa: S101
    return thing


def poll_interval_s() -> float:
    """How often a round begins, if the one before it has ended."""
    return float(settings.CONFIG.poll_interval_s)
