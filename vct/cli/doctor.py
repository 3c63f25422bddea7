"""`vct doctor` and `vct install`: what this host has, what it lacks, and putting that right.

CHECKS is the one table of checks. Without root everything is looked at that can be; the rest is
listed as not checked. Checks change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from vct.cli.options import Command
from vct.cli.session import Session, session
from vct.drivers import host, host_kernel, host_network, packages, process, shaping_support
from vct.drivers.base import Support
from vct.errors import RefusedError
from vct.paths import Home

if TYPE_CHECKING:
    from rich.console import RenderableType

CHECKS: tuple[Callable[[Home], list[Support]], ...] = (
    lambda _home: host.system_supports(),
    lambda _home: packages.supports(),
    lambda _home: host_kernel.supports(),
    lambda _home: shaping_support.supports(),
    lambda _home: host_network.supports(),
    host.home_supports,
)

HOST_LACKS = 3
"""Exit code when something required is missing, as that of HostError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repairs:
    """What can be put right by itself."""

    packages: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    home: bool = False

    def __bool__(self) -> bool:
        return bool(self.packages or self.modules or self.home)

    def words(self) -> list[str]:
        """One line per kind of repair."""
        return [
            *([f"install the packages {' '.join(self.packages)}"] if self.packages else []),
            *([f"load the kernel modules {' '.join(self.modules)}"] if self.modules else []),
            *(["make the state root"] if self.home else []),
        ]


# --- the commands --------------------------------------------------------------------------------


@click.command(cls=Command)
@click.option("--fix", is_flag=True, help="Install and load what is missing, then check again.")
def doctor(fix: bool) -> int:
    """Check this host; --fix repairs what can be repaired.

    Each line says what was looked for and found, what is lost without it, and how to get it. The
    exit code is 3 when something required is missing.
    """
    here = session()
    findings = run_checks(here.home)
    repairs = plan_repairs(findings)
    if fix and here.dry_run:
        here.emit(_repairs_data(here, repairs), lambda: _dry_run_words(repairs))
        return 0
    if fix and repairs:
        _apply(here, repairs)
        findings = run_checks(here.home)
    here.emit([finding_data(finding) for finding in findings], lambda: render(findings))
    return exit_code(findings)


@click.command(cls=Command)
def install() -> int:
    """Install what vct needs on this host.

    Debian packages (without starting any service), kernel modules, and the state root. A second
    run has nothing to do and needs no network.
    """
    here = session()
    taken = host.home_obstacle(here.home)
    if taken:
        raise RefusedError(taken, hint="choose another place: VCT_HOME=DIRECTORY, or empty it")
    findings = run_checks(here.home)
    repairs = plan_repairs(findings, home=not here.home.mark.is_file())
    if here.dry_run:
        here.emit(_repairs_data(here, repairs), lambda: _dry_run_words(repairs))
        return 0
    if repairs:
        _apply(here, repairs)
        findings = run_checks(here.home)
    missing = [finding for finding in findings if finding.required and not finding.found]
    data = _repairs_data(here, repairs) | {"missing": [finding_data(each) for each in missing]}
    here.emit(data, lambda: render(missing) if missing else _done_words(repairs))
    return exit_code(findings)


# --- finding and repairing -----------------------------------------------------------------------


def run_checks(home: Home) -> list[Support]:
    """All findings, in the order of CHECKS; the first of those that are about the same thing."""
    findings: dict[str, Support] = {}
    for check in CHECKS:
        for finding in check(home):
            findings.setdefault(finding.what, finding)
    return list(findings.values())


def plan_repairs(
    findings: Sequence[Support],
    *,
    home: bool = False,
    loadable: Callable[[str], bool] = host_kernel.can_load,
) -> Repairs:
    """What the missing things need and can be had, each once, in the order of the findings."""
    missing = [finding for finding in findings if not finding.found]
    modules = (name for each in missing for name in each.modules)
    return Repairs(
        packages=tuple(dict.fromkeys(name for each in missing for name in each.packages)),
        modules=tuple(filter(loadable, dict.fromkeys(modules))),
        home=home,
    )


def _apply(here: Session, repairs: Repairs) -> None:
    what = ", ".join(repairs.words())
    here.require_root(what)
    here.confirm(f"{what[0].upper()}{what[1:]}?")
    if repairs.packages:
        here.say(f"Installing {' '.join(repairs.packages)}; this takes a minute or two.")
        with here.err.status("apt-get works"):
            packages.install(repairs.packages)
    for module in repairs.modules:
        _load(here, module)
    if repairs.home:
        host.ensure_home(here.home)


def _load(here: Session, module: str) -> None:
    """Load a kernel module; when that fails the second check says what is still missing."""
    if process.find("modprobe") is None:
        here.say(f"Cannot load the module {module}: this host has no modprobe.")
        return
    loaded = process.run(["modprobe", module], check=False)
    here.say(f"Loaded the module {module}." if loaded.code == 0 else loaded.stderr.strip())


def exit_code(findings: Sequence[Support]) -> int:
    """0, or 3 when something required is missing."""
    missing = any(finding.required and not finding.found for finding in findings)
    return HOST_LACKS if missing else 0


# --- saying it -----------------------------------------------------------------------------------


def finding_data(finding: Support) -> dict[str, Any]:
    """A finding's fields in `--json`."""
    fields = ("what", "found", "required", "detail", "without", "fix")
    return {name: getattr(finding, name) for name in fields}


def _repairs_data(here: Session, repairs: Repairs) -> dict[str, Any]:
    return {
        "packages": list(repairs.packages),
        "modules": list(repairs.modules),
        "home": str(here.home.root),
        "make_home": repairs.home,
        "done": not here.dry_run,
    }


def _dry_run_words(repairs: Repairs) -> str:
    return "\n".join(f"would {line}" for line in repairs.words()) or "nothing to do"


def _done_words(repairs: Repairs) -> str:
    return "\n".join(f"done: {line}" for line in repairs.words()) or "nothing to do"


def group_findings(findings: Sequence[Support]) -> dict[str, list[Support]]:
    """`ok`, `not checked`, `degraded` (not required) and `missing`, the worst last."""
    groups: dict[str, list[Support]] = {"ok": [], "not checked": [], "degraded": [], "missing": []}
    for finding in findings:
        groups[_group(finding)].append(finding)
    return groups


def _group(finding: Support) -> str:
    if finding.found:
        return "ok"
    if finding.detail == host_kernel.UNCHECKED:
        return "not checked"
    return "missing" if finding.required else "degraded"


def render(findings: Sequence[Support]) -> RenderableType:
    """The findings for people, the worst last, then one sentence."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    colours = {"ok": "green", "not checked": "cyan", "degraded": "yellow", "missing": "red"}
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for group, members in group_findings(findings).items():
        for finding in members:
            table.add_row(Text(group, colours[group]), Text(finding.what), Text(finding.detail))
            for line in _advice(finding, group):
                table.add_row("", "", Text(line, "bold" if line.startswith("fix") else ""))
    return Group(table, Text(_verdict(findings)))


def _advice(finding: Support, group: str) -> list[str]:
    if group in ("ok", "not checked"):
        return []
    fixes = [f"fix: {line}" for line in finding.fix.splitlines()]
    return [f"lost without it: {finding.without}", *fixes]


def _verdict(findings: Sequence[Support]) -> str:
    if exit_code(findings) == 0:
        return "This host can run testbeds."
    repair = " Repair it with: sudo vct doctor --fix" if plan_repairs(findings) else ""
    return f"This host lacks something required.{repair}"
