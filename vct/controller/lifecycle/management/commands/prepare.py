"""`prepare`: what comes before the service: a restore is put in place, the database is of this
version, and the testbed's own server is known and has its keys. Run at every start; does nothing
the second time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from vct.controller.lifecycle import backup, identity


class Command(BaseCommand):
    """Says what it did, if anything."""

    help = "Make the database fit for this version; run before the server starts."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        for name, mode in (("media", 0o755), ("private", 0o755), ("pki", 0o700), ("tinc", 0o755)):
            Path(settings.CONFIG.data, name).mkdir(mode=mode, parents=True, exist_ok=True)
        if backup.finish(settings.CONFIG):
            self.stdout.write("a backup was put in place")
        with ThreadPoolExecutor(1) as beside:
            made = beside.submit(identity.make_keys)
            call_command("migrate", interactive=False, verbosity=0)
            made.result()
        identity.ensure()
