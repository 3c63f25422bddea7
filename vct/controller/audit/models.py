"""The audit log: one row for each change, written by whoever makes it, in the same transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping

from django.conf import settings
from django.db import models
from django.utils import timezone

from vct.controller.users.models import User


class Entry(models.Model):
    """Who did what to what. Names are copied: they stay when the things are gone."""

    at = models.DateTimeField(default=timezone.now, editable=False)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    actor_name = models.CharField(max_length=60)
    address = models.GenericIPAddressField(null=True, blank=True, default=None)
    action = models.CharField(max_length=32)
    kind = models.CharField(max_length=32)
    object_id = models.CharField(max_length=64)
    object_name = models.CharField(max_length=300)
    changes = models.JSONField(blank=True, default=dict)  # member: new value; secrets as "***"

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "entries"

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.actor_name} {self.action} {self.object_name}"


SECRETS = ("password", "token", "key")
NOBODY = "the controller"
VALUE_KEPT = 500  # signs of a long value: the log is not where values are kept


def record(
    actor: User | None,
    action: str,
    thing: models.Model,
    changes: Mapping[str, object] | None = None,
    *,
    address: str | None = None,
) -> Entry:
    """Writes a row; `actor` is None for what the controller does by itself."""
    return Entry.objects.create(
        actor=actor,
        actor_name=actor.name if actor else NOBODY,
        address=address,
        action=action,
        kind=thing._meta.model_name or "",
        object_id=str(thing.pk),
        object_name=str(thing)[:300],
        changes={
            name: "***" if any(word in name for word in SECRETS) else _short(value)
            for name, value in (changes or {}).items()
        },
    )


def _short(value: object) -> object:
    """A long value as the beginning of its JSON."""
    text = json.dumps(value, ensure_ascii=False)
    return value if len(text) <= VALUE_KEPT else f"{text[:VALUE_KEPT]}..."
