"""`vct topology` through the real entry point, and what bad files and bad command lines give.

Every file of `bad_input/` begins with what it must give: `# error` and the message after the
file's name, then a `# hint` line for each line of the hint. A new file there is a new test.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.unit.vct_command import Vct

ROOT = Path(__file__).resolve().parents[2]
BAD_FILES = sorted((Path(__file__).parent / "bad_input").glob("*.yaml"))
GOOD = str(ROOT / "examples" / "ring.yaml")


def expected_of(file: Path) -> list[str]:
    """What vct must say about a bad file, line by line, from the file's own first lines."""
    lines = file.read_text(errors="replace").splitlines()
    error = lines[0].removeprefix("# error ")
    hints = [line.removeprefix("# hint ") for line in lines if line.startswith("# hint ")]
    return [f"vct: {file}{error}", *(f"  {hint}" for hint in hints)]


def test_it_works(vct: Vct) -> None:
    assert vct("topology", "validate", GOOD) == (0, "ring: 4 nodes, 4 links, 0 segments\n", "")


def test_validate_as_json_has_stable_fields(vct: Vct) -> None:
    file = str(ROOT / "examples" / "segment.yaml")
    result = vct("--json", "topology", "validate", file)
    assert json.loads(result.out) == {
        "file": file,
        "name": "segment",
        "nodes": 3,
        "links": 1,
        "segments": 1,
    }


def test_validate_takes_another_name(vct: Vct) -> None:
    assert vct("topology", "validate", GOOD, "--testbed", "other").out.startswith("other: ")


def test_schema_is_a_json_schema(vct: Vct) -> None:
    schema = json.loads(vct("topology", "schema").out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "links" in schema["properties"]


def test_there_are_enough_bad_files() -> None:
    assert len(BAD_FILES) >= 45


@pytest.mark.parametrize("file", BAD_FILES, ids=lambda file: file.stem)
def test_a_bad_file_gives_one_message_and_code_2(vct: Vct, file: Path) -> None:
    result = vct("topology", "validate", str(file))
    assert result.code == 2
    assert result.err.splitlines() == expected_of(file)
    assert result.out == ""


@pytest.mark.parametrize("command", [("init",), ("init", "--dry-run")], ids=" ".join)
def test_other_commands_say_the_same_about_a_bad_file(
    vct: Vct, command: tuple[str, ...], tmp_path: Path
) -> None:
    file = next(file for file in BAD_FILES if file.stem == "link-to-missing-node")
    result = vct(*command, str(file))
    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines() == expected_of(file)
    assert list(tmp_path.iterdir()) == []


def test_a_bad_file_as_json_is_an_error_document(vct: Vct) -> None:
    file = next(file for file in BAD_FILES if file.stem == "link-loss-101")
    result = vct("topology", "validate", str(file), "--json")
    assert result.code == 2
    document = json.loads(result.out)
    assert document["error"] == "InputError"
    assert document["file"] == str(file)
    assert (document["line"], document["column"]) == (9, 39)
    assert document["key"] == "links[0].loss"
    assert document["hint"] == "at most 100%"


class BadLine(NamedTuple):
    """A command line that cannot be meant, and words of the message that it gives."""

    arguments: tuple[str, ...]
    says: str


BAD_LINES = [
    BadLine(("frobnicate",), "frobnicate"),
    BadLine(("--frobnicate",), "--frobnicate"),
    BadLine(("topology", "frobnicate"), "frobnicate"),
    BadLine(("topology", "validate"), "FILE"),
    BadLine(("topology", "validate", GOOD, GOOD), "unexpected extra argument"),
    BadLine(("topology", "validate", "--colour", GOOD), "--colour"),
    BadLine(("topology", "validate", "missing.yaml"), "missing.yaml: there is no such file"),
    BadLine(("topology", "validate", "."), ".: is a directory"),
    BadLine(("topology", "validate", ""), "is a directory"),
    BadLine(("topology", "validate", f"{GOOD}/x"), "Not a directory"),
    BadLine(("topology", "validate", "/" + "x" * 300), "File name too long"),
    BadLine(("topology", "schema", "extra"), "extra"),
    BadLine(("topology", "validate", GOOD, "--testbed"), "--testbed"),
    BadLine(("--testbed", "Bad Name", "topology", "validate", GOOD), "'Bad Name'"),
    BadLine(("topology", "validate", GOOD, "--testbed", ""), "''"),
    BadLine(("topology", "validate", GOOD, "--testbed", "ring-0001"), "'ring-0001'"),
    BadLine(("topology", "validate", GOOD, "--testbed", "../etc"), "'../etc'"),
    BadLine(("topology", "validate", GOOD, "--testbed", "x" * 33), "is not a testbed name"),
    BadLine(("topology", "validate", GOOD, "--verbose=3"), "--verbose"),
    BadLine(("init", "missing.yaml"), "missing.yaml: there is no such file"),
    BadLine(("init", "."), ".: is a directory"),
    BadLine(("init", GOOD, "extra"), "extra"),
    BadLine(("init", GOOD, "--testbed", "Bad Name"), "'Bad Name'"),
    BadLine(("init", GOOD, "--timeout", "soon"), "soon"),
    BadLine(("init",), "there is no testbed.yaml here"),
    BadLine(("status", "--testbed", "Bad Name"), "'Bad Name'"),
    BadLine(("status", "--testbed", "unheard-of"), "unheard-of"),
    BadLine(("status",), "there is no testbed yet"),
    BadLine(("status", "extra"), "extra"),
]


@pytest.mark.parametrize("line", BAD_LINES, ids=lambda line: " ".join(line.arguments)[:60])
def test_a_bad_command_line_gives_one_message_and_code_2(
    vct: Vct, line: BadLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)  # others are asked to become root first
    result = vct(*line.arguments)
    first, *others = result.err.splitlines()
    assert result.code == 2
    assert first.startswith("vct: ")
    assert line.says in first
    assert all(other.startswith("  ") for other in others)
    assert result.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_bad_testbed_name_in_the_environment_is_refused(
    vct: Vct, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VCT_TESTBED", "Bad Name")
    result = vct("topology", "validate", GOOD)
    assert result.code == 2
    assert "'Bad Name'" in result.err
