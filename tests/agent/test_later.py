"""Modules that nobody uses are not loaded, and are themselves for whoever uses them after all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vct.agent.later import UNUSED

ROOT = Path(__file__).resolve().parents[2]
BEGIN = "import sys; from vct.agent.later import load_later; load_later(); "


def run(program: str) -> str:
    argv = [sys.executable, "-S", "-c", BEGIN + program]
    return subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def test_it_works() -> None:
    heavy = "{'ast', 'html.entities', 'lzma'}"
    assert run(f"import vct.agent.main; print({heavy} & set(sys.modules))") == "set()"


@pytest.mark.parametrize("name", UNUSED)
def test_who_asks_gets_the_module(name: str) -> None:
    assert WORDS[name] in run(f"import {name}; print({name}.{WORDS[name]})")


@pytest.mark.parametrize("name", UNUSED)
def test_who_takes_a_name_from_it_gets_that(name: str) -> None:
    assert WORDS[name] in run(f"from {name} import {WORDS[name]} as found; print(found)")


def test_a_name_that_is_not_there_is_not_there() -> None:
    assert run("import html; print(hasattr(html, 'nothing'))") == "False"


def test_what_is_loaded_already_stays() -> None:
    program = "import html; html.escape; load_later(); print(sys.modules['html'].escape('<'))"
    assert run(program) == "&lt;"


WORDS = {
    "inspect": "signature",
    "html": "escape",
    "mimetypes": "guess_type",
    "shutil": "rmtree",
    "calendar": "timegm",
    "datetime": "timedelta",
    "random": "Random",
}
