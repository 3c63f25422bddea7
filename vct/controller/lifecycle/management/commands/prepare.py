"""`prepare`: what comes before the service: a restore is put in place, the database is of this
version, and the testbed's own server is known. Run at every start; does nothing the second time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import transaction

from vct.controller.lifecycle import backup
from vct.controller.mgmt.models import mgmt_address
from vct.controller.nodes.models import ApiType, Server, ServerApi


class Command(BaseCommand):
    """Says what it did, if anything."""

    help = "Make the database fit for this version; run before the server starts."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        for name in ("media", "private", "pki"):
            Path(settings.CONFIG.data, name).mkdir(mode=0o755, parents=True, exist_ok=True)
        if backup.finish(settings.CONFIG):
            self.stdout.write("a backup was put in place")
        call_command("migrate", interactive=False, verbosity=0)
        with transaction.atomic():
            if not Server.objects.exists():
                make_main_server(settings.CONFIG.testbed)


def make_main_server(name: str) -> Server:
    """The server that this controller is, with its two APIs at its management address."""
    server = Server(name=name)
    server.save()
    for kind in ApiType:
        base = f"http://[{mgmt_address(server)}]/api/"
        ServerApi(server=server, type=kind, base_uri=base).save()
    return server
