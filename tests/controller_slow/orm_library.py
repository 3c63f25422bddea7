"""Fetches confine-orm, the original's client library, and makes it readable for Python 3.

It was written for Python 2 and is published as it was. It comes from the package index at test
time, with what it needs, into a directory of the test's; nothing of it is in this repository.
`orm_runner` then runs its own tests.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

LIBRARY = "confine-orm"
NEEDS = ("fissix", "gevent", "requests")  # fissix is 2to3, as maintained after Python dropped it

# What 2to3 does not know: names that became keywords, modes and operators that changed, and a
# member of gevent that has become public.
REWRITTEN = (
    (re.compile(r"(?<![\w'\"])async(?![\w'\"])"), "async_"),
    (re.compile(r"'ru'"), "'r'"),
    (re.compile(r"status_code/100"), "status_code//100"),
    (re.compile(r"glet\._exception"), "glet.exception"),
)


def fetch_needs(directory: Path) -> Path:
    """What the library and its conversion need, in a directory for the module path."""
    needs = directory / "needs"
    _pip("install", "--target", needs, *NEEDS)
    return needs


def fetch(version: str, directory: Path, needs: Path) -> Path:
    """The library, in a directory for the module path."""
    as_published = ("--no-deps", "--no-binary", LIBRARY, f"{LIBRARY}=={version}")
    _pip("download", "--dest", directory, *as_published)
    shutil.unpack_archive(next(directory.glob("*.tar.gz")), directory)
    library = directory / f"{LIBRARY}-{version}"
    _to_python_3(library / "orm", needs)
    return library


def _to_python_3(package: Path, needs: Path) -> None:
    for path in package.rglob("*.py"):
        text = path.read_text()
        for pattern, replacement in REWRITTEN:
            text = pattern.sub(replacement, text)
        path.write_text(text)
    fissix = [sys.executable, "-m", "fissix", "--write", "--nobackups", "--no-diffs", str(package)]
    _run(fissix, {"PYTHONPATH": str(needs), "HOME": str(needs.parent)})


def _pip(*arguments: str | Path) -> None:
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    _run([sys.executable, "-m", "pip", *map(str, arguments), *quiet], None)


def _run(argv: list[str], environment: dict[str, str] | None) -> None:
    """Raises AssertionError with what the program said."""
    ended = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
