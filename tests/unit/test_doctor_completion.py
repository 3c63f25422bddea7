"""`vct completion`: the scripts, and the protocol that the shells speak when tab is pressed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
import pytest

from vct.cli.completion import STARTUP_LINES, complete_node, complete_nodes, completion_script
from vct.cli.main import cli
from vct.cli.session import Session
from vct.drivers import process
from vct.model.settings import Settings


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A state root with one testbed of three nodes, and files that are none."""
    nodes = tmp_path / "testbeds" / "ring" / "nodes"
    for node in ("0001", "0002", "00a0", "lost+found"):
        (nodes / node).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def ctx(home: Path) -> click.Context:
    here = Session()
    here.__dict__["settings"] = Settings(home=home)
    return click.Context(cli, obj=here)


PARAMETER = click.Argument(["nodes"])


def press_tab(home: Path, *words: str) -> list[str]:
    """What bash is offered for the last of these words."""
    ended = process.run(
        [sys.executable, "-m", "vct"],
        env={
            "VCT_HOME": str(home),
            "_VCT_COMPLETE": "bash_complete",
            "COMP_WORDS": "\n".join(["vct", *words]),
            "COMP_CWORD": str(len(words)),
        },
    )
    return [line.removeprefix("plain,") for line in ended.stdout.split()]


def test_it_works(home: Path) -> None:
    assert press_tab(home, "doc") == ["doctor"]


def test_commands_are_offered_without_loading_them(home: Path) -> None:
    assert {"init", "status", "node"} <= set(press_tab(home, ""))


def test_flags_of_a_command_are_offered(home: Path) -> None:
    assert press_tab(home, "doctor", "--f") == ["--fix"]


def test_names_of_testbeds_are_offered(home: Path) -> None:
    assert press_tab(home, "--testbed", "r") == ["ring"]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("", ["all", "0001", "0002", "00a0"]),
        ("a", ["all"]),
        ("00a", ["00a0"]),
        ("0001,", ["0001,0002", "0001,00a0"]),
        ("0001,0002,00", ["0001,0002,00a0"]),
        ("f", []),
    ],
)
def test_node_sets_are_offered(ctx: click.Context, typed: str, offered: list[str]) -> None:
    assert complete_nodes(ctx, PARAMETER, typed) == offered


def test_one_node_is_offered_where_one_is_taken(ctx: click.Context) -> None:
    assert complete_node(ctx, PARAMETER, "") == ["0001", "0002", "00a0"]


def test_nodes_are_those_of_the_chosen_testbed(ctx: click.Context, home: Path) -> None:
    (home / "testbeds" / "line" / "nodes" / "0009").mkdir(parents=True)
    ctx.obj.options["testbed"] = "line"
    assert complete_node(ctx, PARAMETER, "") == ["0009"]


def test_nothing_is_offered_when_no_testbed_is_meant(ctx: click.Context, home: Path) -> None:
    (home / "testbeds" / "line").mkdir()
    assert complete_nodes(ctx, PARAMETER, "0") == []


@pytest.mark.parametrize("shell", STARTUP_LINES)
def test_a_script_begins_with_the_line_for_the_startup_file(shell: str) -> None:
    script = completion_script(cli, shell)
    assert script.startswith(f"# Put this line into {STARTUP_LINES[shell][1]}:")
    assert f"_VCT_COMPLETE={shell}_complete" in script


def test_bash_understands_its_script(tmp_path: Path) -> None:
    script = tmp_path / "vct.bash"
    script.write_text(completion_script(cli, "bash") + "\ncomplete -p vct\n")
    assert "-F _vct_completion vct" in process.run(["bash", str(script)]).stdout


def test_live_node_names_reach_the_shell(home: Path) -> None:
    assert press_tab(home, "node", "stop", "0001,") == ["0001,0002", "0001,00a0"]


def test_completion_needs_no_terminal_and_no_home(tmp_path: Path) -> None:
    assert press_tab(tmp_path / "nowhere", "--testbed", "") == []
    assert not os.path.lexists(tmp_path / "nowhere")
