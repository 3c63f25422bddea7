"""Whether the worker lives: it leaves a mark in the database, pages and `/health/` read it."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from vct.controller.state.models import Beat

WORKER = "worker"
EVERY_S = 10.0
LATE_AFTER_S = 60.0  # a round of polls may take a while


def beat(now: datetime | None = None) -> None:
    """The worker is alive."""
    Beat.objects.update_or_create(name=WORKER, defaults={"at": now or timezone.now()})


def condition(now: datetime | None = None) -> str:
    """`ok`, `late`, or `never` before its first beat. A clock that jumped back counts as now."""
    last = Beat.objects.filter(name=WORKER).values_list("at", flat=True).first()
    if last is None:
        return "never"
    age_s = ((now or timezone.now()) - last).total_seconds()
    return "late" if age_s > LATE_AFTER_S else "ok"
