"""What commands get: which testbed is meant, how questions and root are asked for, options."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from vct.cli.options import Group, global_options
from vct.cli.session import Session, session
from vct.errors import HostError, RefusedError, UsageError
from vct.model.settings import Settings


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A session without terminal whose state root is empty."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    fresh = Session()
    fresh.__dict__["settings"] = Settings(home=tmp_path)
    return fresh


def make_testbeds(here: Session, *names: str) -> None:
    for name in names:
        here.home.testbed(name).root.mkdir(parents=True)


def test_it_works(here: Session) -> None:
    make_testbeds(here, "ring")
    assert here.testbed() == here.home.testbed("ring")


def test_without_testbeds_it_says_how_to_make_one(here: Session) -> None:
    with pytest.raises(UsageError, match="no testbed yet") as caught:
        here.testbed_name()
    assert caught.value.hint == "make one: vct init FILE"


def test_among_several_testbeds_one_must_be_chosen(here: Session) -> None:
    make_testbeds(here, "ring", "line")
    with pytest.raises(UsageError, match="several testbeds: line, ring"):
        here.testbed_name()
    here.options["testbed"] = "line"
    assert here.testbed().name == "line"


def test_a_flag_wins_over_the_setting(here: Session) -> None:
    here.__dict__["settings"] = Settings(home=here.home.root, testbed="ring")
    assert here.testbed_name() == "ring"
    here.options["testbed"] = "line"
    assert here.testbed_name() == "line"


def test_a_testbed_that_is_not_there_is_refused_with_those_that_are(here: Session) -> None:
    make_testbeds(here, "ring")
    here.options["testbed"] = "rong"
    with pytest.raises(UsageError, match="no testbed rong") as caught:
        here.testbed()
    assert caught.value.hint == "testbeds here: ring"


@pytest.mark.parametrize("name", ["Ring", "../etc", "a b", "-x", "ring-0001"])
def test_a_name_that_cannot_be_a_testbed_is_refused(here: Session, name: str) -> None:
    here.options["testbed"] = name
    with pytest.raises(UsageError, match="is not a testbed name"):
        here.testbed_name()


def test_files_beside_testbeds_are_none(here: Session) -> None:
    make_testbeds(here, "ring")
    (here.home.testbeds / "notes.txt").touch()
    assert here.testbed_names() == ["ring"]


def test_without_a_terminal_nothing_is_confirmed(here: Session) -> None:
    with pytest.raises(RefusedError, match="not confirmed: Remove all") as caught:
        here.confirm("Remove all?")
    assert caught.value.exit_code == 4
    assert "--yes" in caught.value.hint


def test_yes_confirms(here: Session) -> None:
    here.options["yes"] = True
    here.confirm("Remove all?")


def test_root_needs_no_question(here: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    here.require_root("make links")


def test_without_a_terminal_root_is_not_asked_for(
    here: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("sys.argv", ["/usr/bin/vct", "init", "ring.yaml"])
    with pytest.raises(HostError, match="needs root: make links") as caught:
        here.require_root("make links")
    assert caught.value.exit_code == 3
    assert caught.value.hint.startswith("run: sudo")
    assert caught.value.hint.endswith("vct init ring.yaml")


def test_a_result_is_json_or_words(here: Session, capsys: pytest.CaptureFixture[str]) -> None:
    here.emit({"nodes": 4}, lambda: "four nodes")
    here.options["json"] = True
    here.emit({"nodes": 4}, lambda: pytest.fail("text was made for --json"))
    words, _, document = capsys.readouterr().out.partition("\n")
    assert words == "four nodes"
    assert json.loads(document) == {"nodes": 4}


def test_words_are_printed_as_they_are(here: Session, capsys: pytest.CaptureFixture[str]) -> None:
    here.emit({}, lambda: "nodes [0001] [red]")
    assert capsys.readouterr().out == "nodes [0001] [red]\n"


def test_news_do_not_mix_with_results(here: Session, capsys: pytest.CaptureFixture[str]) -> None:
    here.say("[bold] is no markup here")
    assert capsys.readouterr() == ("", "[bold] is no markup here\n")


# --- global options ------------------------------------------------------------------------------


@click.group(cls=Group, params=global_options())
def program() -> None:
    """A program with one command."""


@program.command()
def show() -> None:
    """Print the options."""
    click.echo(json.dumps(session().options))


def options_of(*argv: str, env: dict[str, str] | None = None) -> dict[str, Any]:
    result = CliRunner(env=env).invoke(program, list(argv), obj=Session())
    assert result.exit_code == 0, result.output
    options: dict[str, Any] = json.loads(result.output)
    return options


def test_options_are_taken_before_and_after_the_command() -> None:
    assert options_of("--testbed", "ring", "show", "--json") == {"testbed": "ring", "json": True}


def test_options_that_are_not_given_are_not_there() -> None:
    assert options_of("show") == {}


def test_every_option_is_a_variable_too() -> None:
    env = {"VCT_TESTBED": "ring", "VCT_JSON": "1", "VCT_DRY_RUN": "1", "VCT_YES": "1"}
    assert options_of("show", env=env) == {
        "testbed": "ring",
        "json": True,
        "dry_run": True,
        "yes": True,
    }


@pytest.mark.parametrize("argv", [("--testbed", "line", "show"), ("show", "--testbed", "line")])
def test_a_flag_wins_over_a_variable_wherever_it_stands(argv: tuple[str, ...]) -> None:
    assert options_of(*argv, env={"VCT_TESTBED": "ring"}) == {"testbed": "line"}


def test_the_later_of_two_flags_wins() -> None:
    assert options_of("--testbed", "ring", "show", "--testbed", "line") == {"testbed": "line"}
