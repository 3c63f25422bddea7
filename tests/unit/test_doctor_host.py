"""What doctor reads about the host: control groups, packages, firewalls, routes, the state root."""

from __future__ import annotations

import json
import stat
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from vct.drivers import host, host_kernel, host_network, packages, process
from vct.drivers.base import Support
from vct.drivers.host_network import Chain, Route
from vct.errors import HostError, RefusedError
from vct.paths import Home

V1 = """tmpfs /sys/fs/cgroup tmpfs rw,mode=755 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/devices cgroup rw,relatime,devices 0 0
"""
V2 = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nsdelegate 0 0\n"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    root = tmp_path / "vct"
    return Home(root=root, images=root / "images", run=tmp_path / "run")


def test_it_works(home: Home) -> None:
    assert all(isinstance(finding, Support) for finding in host.check_host(home))


# --- control groups ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mounts", "controllers_v2", "version", "some"),
    [
        (V1, "", "v1", {"memory", "cpuacct", "devices"}),
        (V2, "cpu memory pids\n", "v2", {"memory", "pids", "devices", "freezer"}),
        (V1 + V2.replace("cgroup ", "cgroup/unified "), "", "hybrid", {"memory", "devices"}),
    ],
)
def test_control_groups_are_told_apart(
    mounts: str, controllers_v2: str, version: str, some: set[str]
) -> None:
    seen = host.parse_cgroups(mounts, controllers_v2)
    assert seen.version == version
    assert some <= seen.controllers


def test_without_control_groups_something_required_is_missing() -> None:
    (finding,) = host.cgroup_findings(host.parse_cgroups("proc /proc proc rw 0 0\n"))
    assert finding.required
    assert not finding.found


def test_limits_of_memory_are_wanted_but_not_required() -> None:
    findings = {each.what: each for each in host.cgroup_findings(host.parse_cgroups(V2))}
    assert not findings["control group memory"].found
    assert not findings["control group memory"].required
    assert findings["control group devices"].found


# --- facts in files ------------------------------------------------------------------------------


def test_os_release_values_may_be_quoted() -> None:
    release = host.parse_os_release("ID=ubuntu\nID_LIKE=\"debian\"\n# no\nPRETTY_NAME='U 24'\n")
    assert release == {"ID": "ubuntu", "ID_LIKE": "debian", "PRETTY_NAME": "U 24"}


def test_available_memory_is_told_in_bytes() -> None:
    assert host.parse_meminfo("MemTotal: 8 kB\nMemAvailable:       4 kB\n") == 4096
    assert host.parse_meminfo("") == 0


def test_file_systems_of_the_kernel_are_the_last_words() -> None:
    assert host_kernel.parse_filesystems("nodev\tproc\n\text4\nnodev\toverlay\n") == {
        "proc",
        "ext4",
        "overlay",
    }


# --- packages ------------------------------------------------------------------------------------


def test_only_installed_packages_count() -> None:
    text = "installed lxc\nconfig-files tinc\nhalf-installed ssh\nnot-installed x\n\n"
    assert packages.parse_installed(text) == {"lxc"}


def test_services_are_found_among_a_packages_files() -> None:
    files = [
        "/lib/systemd/system/lxc-net.service",
        "/usr/lib/systemd/system/lxc.socket",
        "/usr/lib/systemd/system/lxc.service.d/more.conf",
        "/etc/init.d/lxc",
        "/etc/init.d",
        "/usr/bin/lxc-start",
    ]
    assert packages.parse_services(files) == (["lxc-net.service", "lxc.socket"], ["lxc"])


def test_packages_are_installed_without_questions_extras_and_services(tmp_path: Path) -> None:
    argv = packages.install_command(["lxc"], tmp_path)
    assert argv[0] == "apt-get"
    assert argv[-2:] == ["install", "lxc"]
    assert {"--yes", "--no-install-recommends"} <= set(argv)
    assert f"--option=DPkg::Path={tmp_path}:{process.SEARCH_PATH}" in argv


def test_a_missing_program_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "SEARCH_PATH", "/nonexistent")
    findings = {finding.what: finding for finding in packages.supports()}
    assert not findings["dnsmasq"].found
    assert findings["dnsmasq"].packages == ("dnsmasq-base",)
    assert findings["dnsmasq"].fix == "apt-get install dnsmasq-base"


# --- the state root ------------------------------------------------------------------------------


def test_the_state_root_is_made_once_with_its_mark(home: Home) -> None:
    assert host.ensure_home(home) is True
    assert host.ensure_home(home) is False
    assert home.mark.is_file()
    assert stat.S_IMODE(home.root.stat().st_mode) == 0o711


def test_an_empty_directory_becomes_the_state_root(home: Home) -> None:
    home.root.mkdir()
    assert host.ensure_home(home) is True


def test_a_directory_of_others_is_refused_and_left_alone(home: Home) -> None:
    home.root.mkdir()
    (home.root / "photo.jpg").touch()
    with pytest.raises(RefusedError, match="not ours") as caught:
        host.ensure_home(home)
    assert caught.value.exit_code == 4
    assert [path.name for path in home.root.iterdir()] == ["photo.jpg"]


def test_a_file_in_the_place_of_the_state_root_is_refused(home: Home) -> None:
    home.root.touch()
    with pytest.raises(RefusedError, match="is not a directory"):
        host.ensure_home(home)


def test_our_image_store_does_not_make_the_state_root_foreign(home: Home) -> None:
    home.images.mkdir(parents=True)
    assert "not ours" in host.home_obstacle(home)
    (home.images / ".vct-images").touch()
    assert host.ensure_home(home) is True


def test_a_state_root_that_cannot_be_made_is_the_hosts_fault() -> None:
    with pytest.raises(HostError, match="cannot make the state root"):
        host.ensure_home(Home(root=Path("/proc/vct"), images=Path("/proc/vct/images")))


def test_the_state_root_is_reported(home: Home) -> None:
    before = host.home_supports(home)[0]
    host.ensure_home(home)
    after = host.home_supports(home)[0]
    assert (before.found, before.required) == (False, False)
    assert after.found


# --- what init needs -----------------------------------------------------------------------------


def lacking(what: str, **more: Any) -> Support:
    fields = {"detail": "not there", "without": "nodes cannot start", "fix": "make it"} | more
    return Support(what=what, found=False, **fields)


def test_the_first_missing_requirement_is_named_with_purpose_and_fix() -> None:
    with pytest.raises(HostError) as caught:
        host.require([lacking("netem", required=False), lacking("cgroups"), lacking("loop")])
    assert caught.value.message == (
        "this host lacks cgroups: not there; without it nodes cannot start"
    )
    assert caught.value.hint == "make it"
    assert caught.value.exit_code == 3


def test_what_can_be_installed_is_hinted_at() -> None:
    with pytest.raises(HostError) as caught:
        host.require([lacking("lxc-start", packages=("lxc",)), lacking("cgroups")])
    assert caught.value.hint == "run: vct install (and 1 more: vct doctor)\nor by hand: make it"


def test_with_all_that_is_required_nothing_is_raised() -> None:
    host.require([lacking("netem", required=False)])


# --- other people's firewalls and routes ---------------------------------------------------------


def ruleset(policy: str, *rules: dict[str, Any]) -> str:
    place = {"family": "ip", "table": "filter"}
    hooked = {"type": "filter", "hook": "forward", "prio": 0, "policy": policy}
    entries: list[dict[str, Any]] = [
        {"metainfo": {"version": "1.0.6"}},
        {"table": {"family": "ip", "name": "filter"}},
        {"chain": {**place, "name": "FORWARD", **hooked}},
        {"chain": {**place, "name": "DOCKER-USER"}},
        *({"rule": {**place, "chain": "FORWARD", "expr": rule["expr"]}} for rule in rules),
    ]
    return json.dumps({"nftables": entries})


def accept(interface: str) -> dict[str, Any]:
    match = {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": interface}
    return {"expr": [{"match": match}, {"accept": None}]}


def test_a_chain_that_drops_forwarded_packets_is_found_with_the_way_through() -> None:
    (chain,) = host_network.find_blocking_chains(ruleset("drop"))
    assert chain == Chain(family="ip", table="filter", name="FORWARD")
    assert host_network.render_allow(chain).splitlines() == [
        "nft insert rule ip filter FORWARD iifname '\"vct-*\"' accept",
        "nft insert rule ip filter FORWARD oifname '\"vct-*\"' accept",
    ]


@pytest.mark.parametrize(
    "text", ["", ruleset("accept"), ruleset("drop", accept("vct-*"), accept("docker0"))]
)
def test_a_way_through_is_no_finding(text: str) -> None:
    assert host_network.find_blocking_chains(text) == []


def test_a_way_through_for_others_does_not_help_us() -> None:
    assert host_network.find_blocking_chains(ruleset("drop", accept("docker0"))) != []


ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
tun0\t0000F00A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
corp\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0
vct-ring\t0400F00A\t00000000\t0001\t0\t0\t0\tFCFFFFFF\t0\t0\t0
"""


def test_routes_are_read_in_the_kernels_byte_order() -> None:
    assert host_network.parse_routes(ROUTES)[1] == Route(
        network=IPv4Network("10.240.0.0/16"), interface="tun0"
    )


def test_only_others_routes_into_our_range_are_foreign() -> None:
    foreign = host_network.find_foreign_routes(host_network.parse_routes(ROUTES))
    assert [route.interface for route in foreign] == ["tun0"]
