"""`vct image run` and `vct image runs` through the real entry point, without starting anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.vct_command import Vct
from vct.build import usage
from vct.paths import Home


def planned(vct: Vct, *arguments: str) -> dict[str, object]:
    document = json.loads(vct("--json", "--dry-run", "image", "run", *arguments).out)
    assert isinstance(document, dict)
    return document


def test_it_works(vct: Vct) -> None:
    assert planned(vct, "small", "--size", "1GiB", "--arch", "i386") == {
        "image": "small",
        "arch": "i386",
        "name": "",
        "size_mib": 1024,
        "remove": False,
        "boot": True,
    }


def test_with_a_command_nothing_is_booted_unless_asked_for(vct: Vct) -> None:
    assert planned(vct, "small", "--", "true")["boot"] is False
    assert planned(vct, "small", "--boot", "--", "true")["boot"] is True


def test_a_dry_run_says_what_becomes_of_it(vct: Vct) -> None:
    assert "removed at the end" in vct("--dry-run", "image", "run", "small").out
    assert "kept as mine" in vct("--dry-run", "image", "run", "small", "--name", "mine").out


@pytest.mark.parametrize("size", ["12", "1TB", "1MiB", "0MiB"])
def test_a_size_that_cannot_be_meant_is_refused(vct: Vct, size: str) -> None:
    result = vct("image", "run", "small", "--size", size)
    assert result.code == 2
    assert size in result.err


def test_json_needs_a_command(vct: Vct) -> None:
    assert vct("--json", "image", "run", "small").code == 2


def test_no_runs_are_said_to_be_none(vct: Vct) -> None:
    assert "no containers" in vct("image", "runs").out
    assert json.loads(vct("--json", "image", "runs").out) == []


def test_a_run_that_is_not_there_cannot_be_removed(vct: Vct) -> None:
    result = vct("image", "runs", "--remove", "mine")
    assert result.code in (2, 3)  # 3: without root


def test_a_run_is_listed_with_its_image(vct: Vct, tmp_path: Path) -> None:
    paths = Home(root=tmp_path / "state").image_run("mine")
    paths.root.mkdir(parents=True)
    paths.mark.touch()
    run = {"name": "mine", "image": "small", "arch": "i386", "digest": "0" * 64}
    run |= {"size_mib": "64", "temporary": "", "made": "2026-01-01T00:00:00+00:00"}
    paths.record.write_text(json.dumps(run))
    assert vct("image", "runs").out.splitlines()[3].split()[:4] == [
        "mine",
        "small",
        "i386",
        "stopped",
    ]


def test_an_image_is_used_by_its_runs(tmp_path: Path) -> None:
    paths = Home(root=tmp_path / "state").image_run("mine")
    paths.root.mkdir(parents=True)
    paths.record.write_text(json.dumps({"name": "mine", "digest": "a" * 64}))
    assert usage.used_by(tmp_path / "state", "a" * 64) == ["run mine"]
