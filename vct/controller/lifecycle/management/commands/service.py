"""`service`: what a testbed's container runs: `prepare`, then server and worker until one ends."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from vct.controller.lifecycle import service


class Command(BaseCommand):
    """Started by init."""

    help = "Prepare the data, then serve and work until one of the two ends."
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--bind", default="[::]:80", help="address:port; [::]:80")

    def handle(self, *args: Any, **options: Any) -> None:
        if service.is_preparer():
            call_command("prepare", stdout=self.stdout)
        else:
            service.run(options["bind"])
