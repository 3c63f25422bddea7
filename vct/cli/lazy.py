"""Command groups that are one visible table: a command's module is loaded when it is called.

So `vct --help` and completion load none of them, and a fault in one module leaves the others
working. Used by the top level (vct.cli.main) and by groups whose commands are in many modules.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from vct.cli.options import Group


class Entry(NamedTuple):
    """A command: the module that has it, its line in `--help`, and what it is called there.

    `attribute` is needed only where the command's name is not one in Python.
    """

    module: str
    help: str
    attribute: str = ""


class LazyGroup(Group):
    """A group whose commands stand in `table`; loads a module when its command is called."""

    def __init__(self, *args: Any, table: Mapping[str, Entry], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.table.get(cmd_name)
        if entry is None:
            return None
        module = importlib.import_module(entry.module)
        command = getattr(module, entry.attribute or cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 - a fault in the table
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.table.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [
            CompletionItem(name, help=entry.help)
            for name, entry in self.table.items()
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)
