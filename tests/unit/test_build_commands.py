"""`vct build` and `vct image` through the real entry point, without building anything."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from tests.unit.vct_command import Vct
from vct.build import apt, builder
from vct.build.builder import BuildResult
from vct.build.events import Progress
from vct.cli.build_progress import BuildProgress
from vct.cli.session import Session

MIRROR = ("--mirror", "http://mirror.example/debian")


@pytest.fixture(autouse=True)
def known_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt, "package_version", lambda _package: "1")


def test_it_works(vct: Vct) -> None:
    result = vct("--json", "--dry-run", "build", *MIRROR)
    plan = json.loads(result.out)
    assert [(image["name"], image["action"], image["reason"]) for image in plan] == [
        ("base-debian", "build", "not built yet"),
        ("node-debian", "build", "not built yet"),
    ]
    assert set(plan[0]) == {"name", "arch", "digest", "action", "reason", "changes", "layers"}
    assert set(plan[0]["layers"][0]) == {"layer", "key", "action", "reason"}


def test_a_dry_run_changes_nothing(vct: Vct, tmp_path: Path) -> None:
    vct("--dry-run", "build", *MIRROR)
    assert not (tmp_path / "images").exists()


def test_all_means_every_recipe(vct: Vct) -> None:
    plan = json.loads(vct("--json", "--dry-run", "build", "--all", *MIRROR).out)
    assert {"base-debian", "node-debian"} <= {image["name"] for image in plan}


def test_the_architecture_is_part_of_the_identity(vct: Vct) -> None:
    command = ("--json", "--dry-run", "build", "base-debian", *MIRROR)
    amd64, i386 = (json.loads(vct(*command, "--arch", arch).out) for arch in ("amd64", "i386"))
    assert amd64[0]["digest"] != i386[0]["digest"]


def test_own_recipes_are_found_by_flag_and_by_variable(
    vct: Vct, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\nkind: node\nfrom: node-debian\n")
    by_flag = vct("--dry-run", "build", "mine", "--recipes", str(tmp_path), *MIRROR)
    monkeypatch.setenv("VCT_RECIPES", str(tmp_path))
    by_variable = vct("--dry-run", "build", "mine", *MIRROR)
    assert by_flag == by_variable
    assert "mine" in by_flag.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["build", "node-debain"], 2, "did you mean node-debian?"),
        (["build", "--arch", "arm64"], 2, "'arm64' is not one of"),
        (["build", "--mirror", "mirror.example"], 2, "is not a URL"),
        (["build", "--recipes", "/no/such/directory"], 2, "is not a directory"),
        (["build", "../etc/passwd"], 2, "there is no recipe"),
        (["image", "info", "node-debian"], 1, "run: vct build node-debian"),
        (["image", "remove", "node-debian", "--arch", "i386"], 1, "--arch i386"),
        (["image", "why", "nothing"], 2, "there is no recipe nothing"),
        (["image", "info"], 2, "Missing argument"),
    ],
)
def test_a_wrong_command_line_gets_an_answer(
    vct: Vct, arguments: list[str], code: int, words: str
) -> None:
    result = vct(*arguments)
    assert result.code == code
    assert words in result.err
    assert "Traceback" not in result.err


def test_an_empty_store_says_how_to_begin(vct: Vct) -> None:
    assert "vct build node-debian" in vct("image", "list").out
    assert json.loads(vct("--json", "image", "list").out) == []


def test_results_have_stable_fields(vct: Vct, monkeypatch: pytest.MonkeyPatch) -> None:
    done = BuildResult(name="tiny", arch="amd64", digest="ab" * 32, cached=False, seconds=3.5)
    monkeypatch.setattr(builder, "build", lambda *_, **__: [done])
    monkeypatch.setattr(Session, "require_root", lambda *_: None)
    assert json.loads(vct("--json", "build").out) == [
        {
            "name": "tiny",
            "arch": "amd64",
            "digest": "ab" * 32,
            "cached": False,
            "seconds": 3.5,
            "left_out": [],
            "output": None,
        }
    ]
    assert vct("build").out == "tiny for amd64: built in 3.5 s (abababababab)\n"


def recipes_with(directory: Path, output: str) -> tuple[str, ...]:
    """The options for a recipe `mine` with this output."""
    text = f"name: mine\nkind: node\nfrom: base-debian\noutput: {output}\n"
    (directory / "mine.yaml").write_text(text)
    return "build", "mine", "--recipes", str(directory), *MIRROR


def test_only_what_is_named_is_written(vct: Vct, tmp_path: Path) -> None:
    command = recipes_with(tmp_path, "{format: tar.zst}")
    said = vct("--dry-run", *command, "--output", str(tmp_path)).err
    assert said == f"would write mine for amd64 to {tmp_path}/mine-amd64.tar.zst\n"


def test_a_format_that_the_store_does_not_keep_is_told(
    vct: Vct, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "build", lambda *_, **__: [])
    monkeypatch.setattr(Session, "require_root", lambda *_: None)
    said = vct(*recipes_with(tmp_path, "{format: lxc}")).err
    assert "to write its lxc: vct build mine --arch amd64 --output DIR" in said
    assert vct(*recipes_with(tmp_path, "{format: squashfs}")).err == ""


def test_a_place_that_is_wrong_is_told_before_anything_is_built(vct: Vct, tmp_path: Path) -> None:
    command = recipes_with(tmp_path, "{format: lxc}")
    assert vct(*command, "--output", str(tmp_path / "none")).code == 2


def test_all_means_every_architecture_too(vct: Vct) -> None:
    plan = json.loads(vct("--json", "--dry-run", "build", "--all", *MIRROR).out)
    both = {(image["name"], image["arch"]) for image in plan}
    assert {("node-debian", "amd64"), ("node-debian", "i386")} <= both


def test_one_architecture_of_all_recipes_can_be_asked_for(vct: Vct) -> None:
    plan = json.loads(vct("--json", "--dry-run", "build", "--all", "--arch", "i386", *MIRROR).out)
    assert {image["arch"] for image in plan} == {"i386"}


def test_there_is_nothing_to_free_where_nothing_is(vct: Vct) -> None:
    assert json.loads(vct("--json", "image", "gc").out)["freed_mib"] == 0


def test_a_fault_in_one_command_leaves_the_others_working(
    vct: Vct, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vct.cli.image_exchange", None)
    assert "export" in vct("image", "--help").out
    assert vct("image", "list").code == 0


# --- progress ------------------------------------------------------------------------------------


BEGUN = Progress(image="tiny", arch="amd64", layer="packages", step="install", lasting=True)
ENDED = replace(BEGUN, done=True, seconds=9.04)


def test_progress_is_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with BuildProgress(Session()) as progress:
        progress.report(BEGUN)
        progress.report(Progress(image="tiny", arch="amd64", step="copy", done=True, seconds=0.1))
        progress.report(ENDED)
    assert capsys.readouterr().err == "tiny for amd64: install\ntiny for amd64: install: 9.0 s\n"


def test_events_are_json_lines_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with BuildProgress(Session(), events=True) as progress:
        progress.report(BEGUN)
        progress.report(ENDED)
    begun, ended = map(json.loads, capsys.readouterr().err.splitlines())
    assert begun == {
        "event": "begin",
        "image": "tiny",
        "arch": "amd64",
        "layer": "packages",
        "step": "install",
        "at": 0,
        "of": 0,
    }
    assert ended == begun | {"event": "end", "seconds": 9.04}


def test_a_terminal_gets_a_bar_for_each_image(capsys: pytest.CaptureFixture[str]) -> None:
    here = Session()
    here.err = Console(stderr=True, force_terminal=True, width=100)
    with BuildProgress(here) as progress:
        progress.report(replace(BEGUN, at=1, of=4))
        progress.report(replace(BEGUN, arch="i386", step="copy files", at=3, of=4))
    shown = capsys.readouterr().err
    assert "tiny for amd64" in shown
    assert "tiny for i386" in shown
    assert "copy files" in shown


def test_a_lock_file_is_replaced_at_one_stroke(vct: Vct, tmp_path: Path) -> None:
    """What it says of other images must outlive a full disk."""
    file, same = tmp_path / "vct.lock", tmp_path / "same"
    file.write_text('{"lock": 1, "images": {}}')
    same.hardlink_to(file)
    assert vct("image", "lock", "--output", str(file)).code == 0
    assert json.loads(file.read_text()) == json.loads(same.read_text())
    assert not file.samefile(same)
