"""The laws of the code base: rooms, ceilings, doors, lightness. DESIGN sections 4, 5; style.md.

Every message says file and line. The import law itself is in pyproject.toml (import-linter).
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from vct.cli.main import COMMANDS
from vct.drivers import process

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "vct"
# Migrations are written by Django's makemigrations.
CODE = sorted(path for path in PACKAGE.rglob("*.py") if path.parent.name != "migrations")
TESTS = sorted([*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")])
MODULE_CEILING = 400
TEST_CEILING = 500  # a table of cases is long and yet easy to read
FUNCTION_CEILING = 40

PROCESS_MODULES = {"subprocess", "pty", "multiprocessing"}
PROCESS_CALLS = re.compile(r"os\.(system|popen|fork|forkpty|exec\w+|spawn\w+|posix_spawnp?)")
PROCESS_DOORS = {
    "vct/drivers/process.py": "is the door",
    "vct/cli/session.py": "becomes sudo instead of starting it",
    "vct/drivers/relay_process.py": "detaches itself from whoever started it",
    "vct/controller/lifecycle/service.py": "its processes share what was loaded before",
    "vct/agent/reboot.py": "a node has no drivers",
}
LEAVING = re.compile(r"(sys\.exit|os\._exit|exit|quit)")
OWN_PROCESSES = {"vct/drivers/relay_process.py": "is the main module of a process of its own"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def dotted(node: ast.expr) -> str:
    """`os.path.join` for the expression that says so, empty for others."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{dotted(value)}.{attr}"
    return ""


def places(paths: list[Path], kind: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    """Every node of a kind with its `file:line`."""
    for path in paths:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, kind):
                yield f"{name_of(path)}:{getattr(node, 'lineno', 1)}", node


def calls(paths: list[Path]) -> Iterator[tuple[str, str]]:
    """Every call's place and the name that is called."""
    for place, node in places(paths, ast.Call):
        assert isinstance(node, ast.Call)
        yield place, dotted(node.func)


def imports(paths: list[Path]) -> Iterator[tuple[str, str]]:
    """Every import's place and the module's top-level name."""
    for place, node in places(paths, ast.Import):
        assert isinstance(node, ast.Import)
        for alias in node.names:
            yield place, alias.name.split(".")[0]
    for place, node in places(paths, ast.ImportFrom):
        assert isinstance(node, ast.ImportFrom)
        yield place, (node.module or "").split(".")[0]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def below_the_command_line() -> list[Path]:
    return [path for path in CODE if not name_of(path).startswith("vct/cli/")]


def assert_none(found: list[str]) -> None:
    """Each breach on a line of its own, so that an editor can jump to it."""
    assert not found, "\n" + "\n".join(found)


def test_it_works() -> None:
    assert PACKAGE / "errors.py" in CODE
    assert Path(__file__) in TESTS


def test_every_room_has_an_import_contract() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    ruled = {module for contract in contracts for module in contract["source_modules"]}
    free = {"cli"}  # composes all the others
    assert {f"vct.{room}" for room in rooms - free} <= ruled


def test_processes_are_started_through_one_door() -> None:
    elsewhere = [path for path in CODE if name_of(path) not in PROCESS_DOORS]
    imported = [
        f"{at} imports {name}" for at, name in imports(elsewhere) if name in PROCESS_MODULES
    ]
    called = [
        f"{at} calls {name}" for at, name in calls(elsewhere) if PROCESS_CALLS.fullmatch(name)
    ]
    assert_none(imported + called)


def test_no_shell_reads_our_commands() -> None:
    found = [
        f"{place}: shell={ast.unparse(keyword.value)}"
        for place, node in places(CODE + TESTS, ast.Call)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "shell"
    ]
    assert_none(found)


def test_nothing_below_the_command_line_prints() -> None:
    printers = {"print", "sys.stdout.write", "sys.stderr.write", "click.echo"}
    found = [f"{at}: {name}" for at, name in calls(below_the_command_line()) if name in printers]
    assert_none(found)


def test_nothing_below_the_command_line_exits() -> None:
    paths = [path for path in below_the_command_line() if name_of(path) not in OWN_PROCESSES]
    assert_none([f"{at}: {name}" for at, name in calls(paths) if LEAVING.fullmatch(name)])


def test_errors_are_caught_by_name() -> None:
    hiding = {"", "Exception"}
    found = [
        f"{place}: except {ast.unparse(node.type) if node.type else ''}"
        for place, node in places(CODE + TESTS, ast.ExceptHandler)
        if isinstance(node, ast.ExceptHandler)
        and (dotted(node.type) if node.type else "") in hiding
        and not isinstance(node.type, ast.Tuple)
    ]
    assert_none(found)


def test_modules_stay_below_their_ceiling() -> None:
    ceilings = [(path, MODULE_CEILING) for path in CODE] + [(path, TEST_CEILING) for path in TESTS]
    lines = [(path, len(path.read_text().splitlines()), most) for path, most in ceilings]
    assert_none([f"{name_of(path)}:{n}: {n} lines" for path, n, most in lines if n > most])


def test_functions_stay_below_their_ceiling() -> None:
    found = []
    for path in CODE:
        for function in functions(path):
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            if lines > FUNCTION_CEILING:
                found.append(f"{name_of(path)}:{function.lineno} {function.name}: {lines} lines")
    assert_none(found)


def test_every_module_says_what_it_is() -> None:
    modules = [*CODE, *(path for path in TESTS if path.stat().st_size)]
    found = [f"{name_of(path)}:1" for path in modules if not ast.get_docstring(tree_of(path))]
    assert_none(found)


def test_package_files_hold_no_logic() -> None:
    allowed = (ast.Import, ast.ImportFrom, ast.Assign, ast.Expr)
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in CODE
        if path.name == "__init__.py"
        for node in tree_of(path).body
        if not isinstance(node, allowed)
    ]
    assert_none(found)


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has more of after a statement."""
    program = (
        "import sys, json; before = set(sys.modules)\n"
        f"{statement}\n"
        "print(json.dumps(sorted({n.split('.')[0] for n in set(sys.modules) - before})))"
    )
    ended = process.run([sys.executable, "-c", program], cwd=ROOT)
    return set(json.loads(ended.stdout))


def test_the_command_line_loads_nothing_heavy() -> None:
    heavy = {"pydantic", "pyroute2", "yaml", "rich", "lxc", "plumbum", "asyncio", "django"}
    assert loaded_by("import vct.cli.main") & heavy == set()


def test_the_relay_process_needs_the_standard_library_only() -> None:
    others = loaded_by("import vct.drivers.relay_process") - sys.stdlib_module_names
    assert others - {"vct"} == set()


def test_what_goes_over_the_wire_needs_the_standard_library_only() -> None:
    modules = sorted(path.stem for path in (PACKAGE / "wire").glob("[a-z]*.py"))
    others = loaded_by(f"from vct.wire import {', '.join(modules)}") - sys.stdlib_module_names
    assert others == {"vct"}


def test_the_agent_needs_the_standard_library_only_and_no_heavy_part_of_it() -> None:
    loaded = loaded_by("import vct.agent.main")
    assert loaded - sys.stdlib_module_names == {"vct"}
    assert loaded & {"logging", "subprocess", "asyncio", "concurrent", "xml"} == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_of_commands_is_true(name: str) -> None:
    command = getattr(importlib.import_module(COMMANDS[name].module), name)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert command.help, f"{COMMANDS[name].module}: {name} has no docstring"
    assert COMMANDS[name].help.endswith(".")


def test_no_file_names_a_place_of_the_machine_it_was_written_on() -> None:
    place = re.compile(r"(?<![\w.}>*])/" + r"work/[a-z.]")
    found = [
        f"{name_of(path)}:{number}"
        for path in repository_files()
        for number, line in enumerate(path.read_text(errors="ignore").splitlines(), 1)
        if place.search(line)
    ]
    assert_none(found)


def repository_files() -> Iterator[Path]:
    """Files of the checkout less caches, which are in hidden or generated directories."""
    for directory, directories, files in os.walk(ROOT):
        directories[:] = [
            name
            for name in directories
            if (not name.startswith(".") or name == ".ci") and name not in ("__pycache__", "dist")
        ]
        yield from (Path(directory) / name for name in files)
