"""Testbeds beside each other and beside others' things: same addresses, no contact, no traces."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.system.conftest import LINE, VCT, Bed
from vct.drivers import process

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


def beside(bed: Bed) -> Bed:
    """A second testbed in the same state root; the bed's end is its end too."""
    other = replace(bed, name=f"{bed.name}b", others=[])
    bed.others.append(other.name)
    return other


@pytest.fixture
def no_forwarding() -> Iterator[None]:
    """The host does not forward, whatever it did before."""
    before = FORWARDING.read_text()
    FORWARDING.write_text("0")
    yield
    FORWARDING.write_text(before)


def forwards() -> bool:
    return FORWARDING.read_text().strip() == "1"


def test_it_works(no_forwarding: None, bed: Bed) -> None:
    other = beside(bed)
    bed.init(LINE)
    other.init(LINE)
    assert bed.json("status")["nodes"][0]["address"] == other.json("status")["nodes"][0]["address"]
    for testbed in (bed, other):
        testbed.sh("0001", f"echo {testbed.name} >/root/note")
    for testbed in (bed, other):
        # The same address is another node in each.
        assert testbed.vct("node", "ssh", "0001", "--", "cat", "/root/note").stdout == (
            f"{testbed.name}\n"
        )
        testbed.sh("0001", "ping -c1 -W2 rd0002.link && ping -c1 -W2 rd0002")
    bed.vct("cleanup", "--flush")
    assert forwards()
    assert other.json("status")["ready"]
    other.sh("0001", "ping -c1 -W2 rd0002.link")
    other.vct("cleanup", "--flush")
    assert not forwards()


def test_a_node_that_only_one_testbed_has_is_not_reached_from_the_other(bed: Bed) -> None:
    other = beside(bed)
    bed.init('nodes: {"0001": {}}')
    other.init('nodes: {"0007": {}}')
    assert other.sh("0007", "ping -c1 -W1 10.241.0.1", check=False).code != 0
    assert bed.sh("0001", "ping -c1 -W1 rd0007", check=False).code != 0
    assert bed.sh("0001", "ping -c1 -W1 10.241.0.7", check=False).code != 0


def test_several_testbeds_have_to_be_told_apart(bed: Bed) -> None:
    other = beside(bed)
    bed.init('nodes: {"0001": {}}')
    other.init('nodes: {"0001": {}}')
    nameless = {"VCT_HOME": str(bed.home)}
    done = process.run([*VCT, "status"], env=nameless, check=False)
    assert done.code == 2
    assert f"{bed.name}, {other.name}" in done.stderr


def test_cleanup_keeps_disks_and_keys_for_the_next_init(bed: Bed) -> None:
    bed.init(LINE)
    bed.sh("0001", "echo mine >/root/note")
    key = bed.sh("0001", "cat /etc/vct/node/ssh_host_ed25519_key.pub").stdout
    assert "disks are kept" in bed.vct("cleanup").stdout
    assert {node["state"] for node in bed.json("status")["nodes"]} == {"absent"}
    assert bed.vct("node", "start", "0001", check=False).code == 4
    bed.vct("init")
    assert bed.sh("0001", "cat /root/note").stdout == "mine\n"
    assert bed.sh("0001", "cat /etc/vct/node/ssh_host_ed25519_key.pub").stdout == key


def test_a_flush_forgets_everything_of_the_testbed(bed: Bed) -> None:
    bed.init(LINE)
    bed.vct("cleanup", "flush")
    assert not (bed.home / "testbeds" / bed.name).exists()
    assert bed.vct("status", check=False).code == 2


def test_purge_asks_first_and_removes_what_is_ours_only(bed: Bed) -> None:
    other = beside(bed)
    bed.init(LINE)
    other.init('nodes: {"0001": {}}')
    foreign = bed.home.parent / f"{bed.home.name}-not-ours"
    foreign.mkdir()
    try:
        assert bed.vct("purge", check=False).code == 4
        assert bed.json("status")["ready"]
        plan = bed.json("--dry-run", "purge")
        assert plan["remove"] == [
            f"testbed {bed.name}",
            f"testbed {other.name}",
            f"directory {bed.home}",
        ]
        bed.vct("--yes", "purge")
        assert not bed.home.exists()
        assert foreign.exists()
        assert Path(bed.environment["VCT_IMAGES"]).exists()
        assert bed.vct("--yes", "purge").stdout.strip() == "nothing to remove"
    finally:
        foreign.rmdir()


def test_a_testbed_of_the_same_name_in_another_state_root_is_refused(bed: Bed) -> None:
    bed.init(LINE)
    before = bed.json("status")
    stranger = replace(bed, home=bed.home.with_name(f"{bed.home.name}-2"))
    try:
        done = stranger.vct("init", str(bed.file(LINE)), check=False)
        assert done.code == 4
        assert f"a network namespace vct-{bed.name}" in done.stderr
        assert stranger.vct("cleanup", "--flush", check=False).code == 0
        assert bed.json("status") == before
    finally:
        shutil.rmtree(stranger.home, ignore_errors=True)
