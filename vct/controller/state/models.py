"""What nodes and slivers were last seen to be, with a bounded history; when the worker last lived.

`poller` writes with `record`, whoever sees a node fetch something with `heartbeat`, and who wants
to know more now says `want_poll`; a row is made at the first use. Nothing here talks to nodes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.utils import timezone

from vct.controller.base import Guard
from vct.controller.nodes.models import Node
from vct.controller.slices.models import Sliver
from vct.controller.state import rules
from vct.wire.states import NodeState

HISTORY_MAX = 200  # changes kept of one node or sliver
LOST = (NodeState.OFFLINE, NodeState.CRASHED)


class Status(models.Model):
    """The last known state of one node or of one sliver."""

    node = models.OneToOneField(
        Node, models.CASCADE, null=True, blank=True, default=None, related_name="status"
    )
    sliver = models.OneToOneField(
        Sliver, models.CASCADE, null=True, blank=True, default=None, related_name="status"
    )
    value = models.CharField(max_length=32, default=NodeState.UNKNOWN)
    changed_on = models.DateTimeField(default=timezone.now)
    seen_on = models.DateTimeField(null=True, blank=True, default=None)  # fetched something from us
    contact_on = models.DateTimeField(null=True, blank=True, default=None)  # seen, or answered us
    tried_on = models.DateTimeField(null=True, blank=True, default=None)  # we asked
    poll_wanted = models.BooleanField(default=False)  # now, not at the next round
    verified = models.BooleanField(default=False)  # the answer came over TLS that we trust
    etag = models.CharField(max_length=128, blank=True, default="")
    soft_version = models.CharField(max_length=128, blank=True, default="")
    data = models.JSONField(null=True, blank=True, default=None)  # what the node answered
    metadata = models.JSONField(blank=True, default=dict)  # url, headers, status_code, exception

    class Meta:
        ordering = ("id",)
        verbose_name_plural = "statuses"
        constraints = (
            Guard(
                condition=models.Q(node=None, sliver__isnull=False)
                | models.Q(node__isnull=False, sliver=None),
                name="status_of_a_node_or_a_sliver",
            ),
        )

    def __str__(self) -> str:
        return f"{self.node or self.sliver}: {self.value}"

    def current(self, now: datetime | None = None) -> str:
        """What to show: the value unless it is stale."""
        return rules.current(
            self.value,
            tried_on=self.tried_on,
            now=now or timezone.now(),
            interval_s=settings.CONFIG.poll_interval_s,
        )


class StatusChange(models.Model):
    """From when on a value was there; until the next one."""

    status = models.ForeignKey(Status, models.CASCADE, related_name="history")
    value = models.CharField(max_length=32)
    since = models.DateTimeField()

    class Meta:
        ordering = ("-since", "-id")

    def __str__(self) -> str:
        return f"{self.value} since {self.since:%Y-%m-%d %H:%M}"


class Beat(models.Model):
    """When a process that nobody asks anything last did its work; there is one row for each."""

    name = models.CharField(max_length=32, primary_key=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return f"{self.name} at {self.at:%Y-%m-%d %H:%M:%S}"


def status_of(thing: Node | Sliver) -> Status:
    """The row of a node or sliver, made when it is not there."""
    owner = {"node": thing} if isinstance(thing, Node) else {"sliver": thing}
    return Status.objects.get_or_create(**owner)[0]


def heartbeat(thing: Node | Sliver, now: datetime | None = None) -> None:
    """The node fetched this from us; one that seemed lost, or was not yet what it is told to be,
    is asked at once."""
    now = now or timezone.now()
    status = status_of(thing)
    seen: dict[str, Any] = {"seen_on": now, "contact_on": now}
    behind = isinstance(thing, Node) and status.value != thing.set_state
    if behind or status.value in LOST:
        seen["poll_wanted"] = True
    Status.objects.filter(pk=status.pk).update(**seen)


def want_poll(thing: Node | Sliver) -> None:
    """The worker asks it within a second or two; a sliver is asked with its node."""
    Status.objects.filter(pk=status_of(thing).pk).update(poll_wanted=True)


def record(thing: Node | Sliver, value: str, *, now: datetime | None = None, **seen: Any) -> Status:
    """What an attempt to ask gave; `seen` are other fields of Status. History gets changes only."""
    now = now or timezone.now()
    with transaction.atomic():
        status = Status.objects.select_for_update().get(pk=status_of(thing).pk)
        value = rules.concluded(value, seen_on=status.seen_on, made_on=thing.made_on, now=now)
        if value != status.value or status.tried_on is None:
            status.changed_on = now
            StatusChange.objects.create(status=status, value=value, since=now)
            kept = status.history.values_list("id", flat=True)[:HISTORY_MAX]
            status.history.exclude(id__in=list(kept)).delete()
        status.value, status.tried_on = value, now
        for field, content in seen.items():
            setattr(status, field, content)
        status.save()
    return status
