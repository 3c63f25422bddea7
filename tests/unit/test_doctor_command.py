"""`vct doctor` and `vct install`: what is found out, what is planned, what is said."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from vct.cli import doctor
from vct.cli.main import cli
from vct.cli.session import Session
from vct.drivers import host_kernel, packages
from vct.drivers.base import Support
from vct.errors import RefusedError
from vct.model.settings import Settings
from vct.paths import Home


def finding(what: str, *, found: bool = True, **more: Any) -> Support:
    fields = {"detail": "seen", "without": f"no {what}", "fix": f"get {what}"} | more
    return Support(what=what, found=found, **fields)


GOOD = finding("ip")
MISSING = finding("lxc-start", found=False, packages=("lxc",))
MISSING_TOO = finding("lxc-stop", found=False, packages=("lxc",))
WEAK = finding("netem", found=False, required=False, modules=("sch_netem",))
UNCHECKED = finding("NAT", found=False, required=False, detail=host_kernel.UNCHECKED)

Run = Callable[..., Result]


@pytest.fixture
def vct(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a vct command as root on a host with these findings; packages get installed for show."""
    monkeypatch.setattr("os.geteuid", lambda: 0)

    def run(*argv: str, findings: Sequence[Support]) -> Result:
        now = list(findings)

        def install(names: Sequence[str]) -> None:
            now[:] = [
                finding(each.what) if set(each.packages) & set(names) else each for each in now
            ]

        monkeypatch.setattr(packages, "install", install)
        monkeypatch.setattr(doctor, "CHECKS", (lambda _home: now,))
        here = Session()
        here.__dict__["settings"] = Settings(home=tmp_path / "vct")
        return CliRunner().invoke(cli, list(argv), obj=here, standalone_mode=False)

    return run


def test_it_works(vct: Run) -> None:
    result = vct("doctor", findings=[GOOD])
    assert result.return_value == 0
    assert result.stdout.endswith("This host can run testbeds.\n")


def test_a_missing_requirement_is_told_with_what_is_lost_and_its_fix(vct: Run) -> None:
    result = vct("doctor", findings=[GOOD, MISSING])
    assert result.return_value == 3
    for words in ("missing", "lost without it: no lxc-start", "fix: get lxc-start", "doctor --fix"):
        assert words in result.stdout


def test_what_is_not_required_only_degrades(vct: Run) -> None:
    result = vct("doctor", findings=[GOOD, WEAK, UNCHECKED])
    assert result.return_value == 0
    assert "degraded" in result.stdout


def test_json_has_the_same_fields_for_every_finding(vct: Run) -> None:
    result = vct("doctor", "--json", findings=[GOOD, MISSING])
    assert result.return_value == 3
    assert json.loads(result.stdout)[1] == {
        "what": "lxc-start",
        "found": False,
        "required": True,
        "detail": "seen",
        "without": "no lxc-start",
        "fix": "get lxc-start",
    }


def test_findings_are_grouped_and_the_worst_come_last() -> None:
    groups = doctor.group_findings([MISSING, WEAK, GOOD, UNCHECKED])
    assert groups == {
        "ok": [GOOD],
        "not checked": [UNCHECKED],
        "degraded": [WEAK],
        "missing": [MISSING],
    }


def test_the_same_thing_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = (lambda _home: [GOOD, MISSING], lambda _home: [finding("ip", found=False)])
    monkeypatch.setattr(doctor, "CHECKS", checks)
    assert doctor.run_checks(Home()) == [GOOD, MISSING]


def test_repairs_name_each_package_once() -> None:
    repairs = doctor.plan_repairs([GOOD, MISSING, MISSING_TOO], loadable=lambda _module: True)
    assert repairs == doctor.Repairs(packages=("lxc",))


def test_only_modules_that_can_be_loaded_are_a_repair() -> None:
    assert doctor.plan_repairs([WEAK], loadable=lambda _module: True).modules == ("sch_netem",)
    assert not doctor.plan_repairs([WEAK], loadable=lambda _module: False)


def test_fix_installs_and_checks_again(vct: Run) -> None:
    result = vct("--yes", "doctor", "--fix", findings=[MISSING])
    assert result.return_value == 0
    assert "Installing lxc" in result.stderr
    assert "missing" not in result.stdout


def test_fix_tells_what_remains(vct: Run) -> None:
    result = vct("--yes", "doctor", "--fix", findings=[MISSING, finding("cgroups", found=False)])
    assert result.return_value == 3
    assert "lxc-start  seen" in result.stdout
    assert "fix: get cgroups" in result.stdout


def test_fix_asks_before_it_changes_anything(vct: Run) -> None:
    result = vct("doctor", "--fix", findings=[MISSING])
    assert isinstance(result.exception, RefusedError)
    assert "Install the packages lxc?" in result.exception.message


def test_a_dry_run_of_fix_changes_nothing(vct: Run) -> None:
    result = vct("doctor", "--fix", "--dry-run", findings=[MISSING])
    assert (result.return_value, result.stdout) == (0, "would install the packages lxc\n")


def test_install_makes_the_state_root(vct: Run, tmp_path: Path) -> None:
    result = vct("--yes", "install", findings=[MISSING])
    assert result.stdout == "done: install the packages lxc\ndone: make the state root\n"
    assert (tmp_path / "vct" / ".vct-home").is_file()


def test_a_second_install_has_nothing_to_do(vct: Run) -> None:
    vct("--yes", "install", findings=[GOOD])
    assert vct("install", findings=[GOOD]).stdout == "nothing to do\n"


def test_install_tells_what_it_cannot_get(vct: Run) -> None:
    result = vct("--yes", "install", "--json", findings=[finding("cgroups", found=False)])
    assert result.return_value == 3
    assert [each["what"] for each in json.loads(result.stdout)["missing"]] == ["cgroups"]


def test_a_dry_run_of_install_makes_nothing(vct: Run, tmp_path: Path) -> None:
    result = vct("install", "--dry-run", "--json", findings=[MISSING])
    assert json.loads(result.stdout) == {
        "packages": ["lxc"],
        "modules": [],
        "home": str(tmp_path / "vct"),
        "make_home": True,
        "done": False,
    }
    assert not (tmp_path / "vct").exists()


def test_install_refuses_a_directory_of_others_before_anything_else(
    vct: Run, tmp_path: Path
) -> None:
    (tmp_path / "vct").mkdir()
    (tmp_path / "vct" / "photo.jpg").touch()
    result = vct("--yes", "install", findings=[MISSING])
    assert isinstance(result.exception, RefusedError)
    assert str(tmp_path / "vct") in result.exception.message
