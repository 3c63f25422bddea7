"""`restore`: takes an archive of `backup` from standard input; the next start puts it in place."""

from __future__ import annotations

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from vct.controller.lifecycle import backup
from vct.controller.problems import ControllerError


class Command(BaseCommand):
    """Called by `vct controller restore`, which restarts the services afterwards."""

    help = "Read a backup from standard input; it is used at the next start."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            backup.unpack(settings.CONFIG, sys.stdin.buffer)
        except ControllerError as error:
            raise CommandError(error.message) from error
