"""`vct doctor` on this very host: it runs as root, sees what is there and leaves no trace."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vct.drivers import host, host_kernel, host_network, packages, process
from vct.paths import Home


def vct(*argv: str, home: Path) -> process.Completed:
    command = [sys.executable, "-m", "vct", *argv]
    return process.run(command, check=False, env={"VCT_HOME": str(home)})


def traces() -> dict[str, str]:
    """What a check could leave behind."""
    return {
        "interfaces": process.run(["ip", "-o", "link", "show", "type", "bridge"]).stdout,
        "tables": "\n".join(
            line
            for line in process.run(["nft", "list", "tables"]).stdout.splitlines()
            if "doctor" in line
        ),
        "modes": Path("/proc/sys/net/ipv4/conf/all/rp_filter").read_text(),
    }


def test_it_works(tmp_path: Path) -> None:
    ended = vct("doctor", "--json", home=tmp_path / "vct")
    assert ended.code == 0, ended.stdout
    findings = json.loads(ended.stdout)
    fields = {"what", "found", "required", "detail", "without", "fix"}
    assert all(set(finding) == fields for finding in findings)


def test_every_finding_is_about_something_else(tmp_path: Path) -> None:
    findings = json.loads(vct("doctor", "--json", home=tmp_path / "vct").stdout)
    names = [finding["what"] for finding in findings]
    assert len(names) == len(set(names))


def test_this_host_has_what_init_needs(tmp_path: Path) -> None:
    host.require(host.check_host(Home(root=tmp_path, images=tmp_path / "images")))


def test_checks_leave_no_trace(tmp_path: Path) -> None:
    before = traces()
    vct("doctor", home=tmp_path / "vct")
    assert traces() == before
    assert not (tmp_path / "vct").exists()


@pytest.mark.parametrize("feature", host_kernel.FEATURES, ids=lambda feature: feature.what)
def test_a_feature_is_proved_by_using_it(feature: host_kernel.Feature) -> None:
    assert host_kernel.try_feature(feature.probe, feature.input) == (True, "works")


def test_a_feature_that_is_not_there_is_told_in_the_programs_own_words() -> None:
    argv = (*host_kernel.OWN_NETWORK, "ip", "-batch", "-")
    found, words = host_kernel.try_feature(argv, "link add name a type nonsense\n")
    assert not found
    assert words


@pytest.fixture
def nft() -> Iterator[Callable[..., str]]:
    """Runs nft in a network namespace that ends with the test."""
    holder = process.start(
        [*host_kernel.OWN_NETWORK, "cat"], stdin=process.PIPE, stdout=process.PIPE
    )
    assert holder.stdin
    assert holder.stdout
    holder.stdin.write(b"ready\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == b"ready\n"  # unshare has become cat
    inside = ["nsenter", f"--net=/proc/{holder.pid}/ns/net", "--", "nft"]
    yield lambda *argv: process.run([*inside, *argv]).stdout
    holder.communicate()


def test_a_chain_that_drops_is_found_and_its_fix_lets_us_through(nft: Callable[..., str]) -> None:
    nft("add table ip filter")
    nft("add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }")
    (chain,) = host_network.find_blocking_chains(nft("--json", "list", "ruleset"))
    for line in host_network.render_allow(chain).splitlines():
        nft(*shlex.split(line)[1:])
    assert host_network.find_blocking_chains(nft("--json", "list", "ruleset")) == []


def test_a_second_install_has_nothing_to_do(tmp_path: Path) -> None:
    first = vct("--yes", "install", home=tmp_path / "vct")
    second = vct("install", home=tmp_path / "vct")
    assert first.code == 0, first.stderr
    assert (second.code, second.stdout) == (0, "nothing to do\n")


def test_all_packages_of_the_list_are_installed() -> None:
    wanted = {program.package for program in packages.PROGRAMS}
    assert wanted <= packages.observe_installed()
