"""Something of somebody else's stands where vct wants to put its own: exit 4, it is named and left
untouched, by init and by cleanup, and nothing else has changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system import snapshot
from tests.system.conftest import LINE, Bed
from tests.system.trouble import journal, kill_all, paths_of, processes
from vct import names
from vct.drivers import process
from vct.drivers.host import ensure_home
from vct.drivers.process import run
from vct.paths import Home


@contextmanager
def namespace(name: str) -> Iterator[str]:
    run(["ip", "netns", "add", name])
    try:
        yield name
    finally:
        run(["ip", "netns", "del", name])


@contextmanager
def interface(name: str) -> Iterator[str]:
    run(["ip", "link", "add", name, "type", "bridge"])
    try:
        yield name
    finally:
        run(["ip", "link", "del", name])


@contextmanager
def table(name: str) -> Iterator[str]:
    rule = 'ip saddr 192.0.2.1 counter comment "hers"'
    rules = f"table ip {name} {{\n chain theirs {{\n {rule}\n }}\n}}\n"
    run(["nft", "-f", "-"], input=rules)
    try:
        yield name
    finally:
        run(["nft", "delete", "table", "ip", name])


@contextmanager
def directory(path: Path) -> Iterator[str]:
    path.mkdir(parents=True)
    (path / "letter").write_text("dear Alice")
    try:
        yield str(path)
    finally:
        assert [file.name for file in path.iterdir()] == ["letter"]
        (path / "letter").unlink()
        path.rmdir()


OBSTACLES = {
    "a namespace called as our fabric": lambda bed: namespace(names.fabric_namespace(bed.name)),
    "a namespace called as a node's": lambda bed: namespace(names.node_namespace(bed.name, "0002")),
    "an interface called as our uplink": lambda bed: interface(names.uplink_interface(bed.name)),
    "a firewall table called as ours": lambda bed: table(names.firewall_table(bed.name)),
    "a directory called as the testbed's": lambda bed: directory(bed.home / "testbeds" / bed.name),
}


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_what_is_not_ours_is_named_and_left_alone(bed: Bed, obstacle: str) -> None:
    ensure_home(Home(root=bed.home))
    with OBSTACLES[obstacle](bed) as name:
        before = snapshot.take()
        done = bed.vct("--json", "init", str(bed.file(LINE)), check=False)
        assert done.code == 4
        told = json.loads(done.stdout)
        assert name in told["message"]
        assert "not ours" in told["message"]
        assert told["hint"]
        bed.vct("cleanup", "--flush")
        assert snapshot.leaks(before, patience_s=3) == {}
        assert not journal(bed).exists() or not journal(bed).read_text()


def test_a_state_root_of_somebody_else_is_refused(bed: Bed) -> None:
    with directory(bed.home) as name:
        done = bed.vct("--json", "init", str(bed.file(LINE)), check=False)
        assert done.code == 4
        assert name in json.loads(done.stdout)["message"]
        assert bed.vct("--yes", "purge", check=False).code in (0, 4)


def test_an_uplink_address_in_use_is_avoided(bed: Bed) -> None:
    host, _ = names.uplink_ipv4(names.uplink_slot(bed.name))
    with interface("vcttest-taken") as taken:
        run(["ip", "addr", "add", f"{host}/30", "dev", taken])
        run(["ip", "link", "set", "dev", taken, "up"])
        bed.init(LINE)
        addresses = run(["ip", "-4", "-o", "addr"]).stdout
        assert addresses.count(f"{host}/30") == 1
        bed.vct("cleanup")


def test_an_uplink_address_taken_since_the_last_time_is_avoided(bed: Bed) -> None:
    """As by a VPN that came up while the testbed was down."""
    bed.init(LINE)
    bed.vct("cleanup")
    host, _ = names.uplink_ipv4(names.uplink_slot(bed.name))
    with interface("vcttest-taken") as taken:
        run(["ip", "addr", "add", f"{host}/30", "dev", taken])
        run(["ip", "link", "set", "dev", taken, "up"])
        bed.init(LINE)
        assert run(["ip", "-4", "-o", "addr"]).stdout.count(f"{host}/30") == 1
        bed.vct("cleanup")


def test_a_host_that_uses_all_uplink_addresses_is_told_so(bed: Bed) -> None:
    with interface("vcttest-taken") as taken:
        run(["ip", "addr", "add", "10.240.0.1/16", "dev", taken])
        run(["ip", "link", "set", "dev", taken, "up"])
        done = bed.vct("--json", "init", str(bed.file(LINE)), check=False)
        assert done.code == 4
        told = json.loads(done.stdout)
        assert "10.240.0.0/16" in told["message"]
        assert "ip route" in told["hint"]


def test_a_route_to_a_wide_network_is_no_obstacle(bed: Bed) -> None:
    """As a VPN's 10.0.0.0/8: the uplink's own route is the longer one."""
    with interface("vcttest-taken") as taken:
        run(["ip", "addr", "add", "10.0.0.1/8", "dev", taken])
        run(["ip", "link", "set", "dev", taken, "up"])
        assert bed.init(LINE)["ready"] == ["0001", "0002"]
        bed.vct("cleanup")


SQUATTER = """\
import socket, time
taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
taken.bind(("10.241.0.254", 53))
taken.listen()
print("taken", flush=True)
time.sleep(300)
"""


def test_a_port_in_use_is_told_in_the_words_of_dnsmasq(bed: Bed) -> None:
    bed.init(LINE)
    fabric = names.fabric_namespace(bed.name)
    kill_all(processes(f"dnsmasq --conf-file={paths_of(bed).run}/"))
    argv = ["nsenter", f"--net=/run/netns/{fabric}", "python3", "-c", SQUATTER]
    squatter = process.start(argv, stdout=process.PIPE)
    try:
        assert squatter.stdout is not None
        assert squatter.stdout.readline() == b"taken\n"
        done = bed.vct("init", check=False)
        assert done.code == 1
        assert "Address already in use" in done.stderr
    finally:
        squatter.kill()
        squatter.communicate()
    assert bed.json("init")["ready"] == ["0001", "0002"]
