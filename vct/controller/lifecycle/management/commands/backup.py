"""`backup`: the controller's data as one archive, to standard output."""

from __future__ import annotations

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from vct.controller.lifecycle import backup
from vct.controller.problems import ControllerError


class Command(BaseCommand):
    """Called by `vct controller backup`."""

    help = "Write all data as a tar archive to standard output."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            backup.backup(settings.CONFIG, sys.stdout.buffer)
        except ControllerError as error:
            raise CommandError(error.message) from error
