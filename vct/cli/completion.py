"""`vct completion SHELL`, and completing node sets from the testbeds that are on this host.

Completion runs at every press of the tab key: it reads directory names and nothing else, and says
nothing when something is wrong.
"""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete, get_completion_class

from vct.cli.options import Command
from vct.cli.session import Session
from vct.errors import VctError
from vct.names import NODE_ID

STARTUP_LINES = {
    "bash": ('eval "$(vct completion bash)"', "~/.bashrc"),
    "zsh": ('eval "$(vct completion zsh)"', "~/.zshrc"),
    "fish": ("vct completion fish | source", "~/.config/fish/config.fish"),
}
VARIABLE = "_VCT_COMPLETE"


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(sorted(STARTUP_LINES)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print shell completion for bash, zsh or fish.

    The first line printed says which line to put into the shell's startup file.
    """
    root = ctx.find_root().command
    click.echo(completion_script(root, shell), nl=False)


def completion_script(root: click.Command, shell: str) -> str:
    """The script that a shell evaluates. `shell` is a key of STARTUP_LINES."""
    line, file = STARTUP_LINES[shell]
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click has all three
    # Not kind.source: click's own starts bash to see how old it is.
    script = ShellComplete.source(kind(root, {}, "vct", VARIABLE))
    return f"# Put this line into {file}:  {line}\n{script}"


def complete_nodes(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Node sets that begin with what was typed: `all`, ids, and ids after a comma."""
    done, comma, word = incomplete.rpartition(",")
    used = set(done.split(","))
    words = [node for node in _node_ids(ctx) if node not in used]
    if not comma:
        words.insert(0, "all")
    return [f"{done}{comma}{each}" for each in words if each.startswith(word)]


def complete_node(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """The one node that a command takes."""
    return [node for node in _node_ids(ctx) if node.startswith(incomplete)]


def _node_ids(ctx: click.Context) -> list[str]:
    """The node directories of the testbed that the command line, so far, chooses."""
    try:
        nodes = ctx.find_root().ensure_object(Session).testbed().nodes
        return sorted(path.name for path in nodes.iterdir() if NODE_ID.fullmatch(path.name))
    except (VctError, OSError):
        return []
