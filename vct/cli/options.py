"""Global options, accepted before and after every command's name, each also a VCT_* variable.

And an option that commands which write a file share.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from vct.cli.session import Session

OUTPUT = click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Where to: a new file or directory, or a directory to put it in.",
)


def _store(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    options = ctx.find_root().ensure_object(Session).options
    given = ctx.get_parameter_source(param.name or "")
    # The group has looked at the environment already; what was typed to it must not be lost here.
    if given is ParameterSource.COMMANDLINE or (
        given is ParameterSource.ENVIRONMENT and param.name not in options
    ):
        options[param.name] = value


def global_options() -> list[click.Option]:
    """New Option objects for the flags that every command takes."""

    def option(*names: str, **settings: Any) -> click.Option:
        return click.Option(list(names), expose_value=False, callback=_store, **settings)

    return [
        option(
            "--testbed",
            metavar="NAME",
            envvar="VCT_TESTBED",
            help="The testbed to act on.",
            shell_complete=_complete_testbed,
        ),
        option("--json", is_flag=True, envvar="VCT_JSON", help="Print the result as JSON."),
        option(
            "--dry-run",
            is_flag=True,
            envvar="VCT_DRY_RUN",
            help="Print what would be done, and why, and stop.",
        ),
        option("--yes", "-y", is_flag=True, envvar="VCT_YES", help="Answer yes to questions."),
        option("--verbose", "-v", count=True, envvar="VCT_VERBOSE", help="Say more; -vv: all."),
    ]


def _complete_testbed(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in Session().testbed_names() if name.startswith(incomplete)]


class Command(click.Command):
    """A command that takes the global options too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params = [*self.params, *global_options()]


class Group(click.Group):
    """A group whose commands take the global options too."""

    command_class = Command
    group_class = type
