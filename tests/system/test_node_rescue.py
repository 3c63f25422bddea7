"""Every node answers ssh on its rescue address, whatever is wrong with its configuration."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from tests.system.conftest import Bed
from tests.system.trouble import paths_of
from vct import names
from vct.drivers import process
from vct.drivers.netns import inside_command
from vct.verbs.nodes import ssh_options

ONE = 'nodes: {"0001": {disk: 64MiB}}'
AGENT = "/usr/share/vct/agent.py"


@pytest.fixture
def node(shared_bed: Bed) -> Bed:
    """A node that starts an agent at its next start; there is no controller."""
    shared_bed.vct("cleanup", "--flush", check=False)
    shared_bed.init(ONE)
    confine = paths_of(shared_bed).node("0001").confine
    confine.tinc.mkdir(parents=True)
    confine.config.write_text("{}")
    return shared_bed


def rescue(bed: Bed, script: str) -> str:
    """What a script in the node says by ssh to the rescue address."""
    paths = paths_of(bed)
    argv = ["ssh", *ssh_options(paths, "0001"), f"root@{names.rescue_ipv6('0001')}", script]
    done = process.run(
        inside_command(names.fabric_namespace(bed.name), argv), check=False, timeout_s=60
    )
    assert done.code == 0, done.stderr
    return done.stdout


def nothing(_bed: Bed) -> None:
    pass


def garbage(bed: Bed) -> None:
    paths_of(bed).node("0001").confine.config.write_bytes(b"\xff{[" * 1000)


def no_files(bed: Bed) -> None:
    """There is nothing but a configuration that says nothing."""
    shutil.rmtree(paths_of(bed).node("0001").confine.tinc)


def bad_mesh(bed: Bed) -> None:
    (paths_of(bed).node("0001").confine.tinc / "tinc.conf").write_text("Name = ../..\nnonsense\n")


def crashing_agent(bed: Bed) -> None:
    bed.sh("0001", f"echo 'import os; os.abort()' >{AGENT}")


def hungry_agent(bed: Bed) -> None:
    bed.sh("0001", f"echo 'all = bytearray(1 << 40)' >{AGENT}")


def no_agent(bed: Bed) -> None:
    bed.sh("0001", "rm -r /usr/share/vct /etc/vct/agent-service /etc/vct/tinc-service")


def full_disk(bed: Bed) -> None:
    bed.sh("0001", "dd if=/dev/zero of=/persist/big bs=1M; dd if=/dev/zero of=/root/big bs=1k; :")


@pytest.mark.parametrize(
    "trouble",
    [nothing, garbage, no_files, bad_mesh, crashing_agent, hungry_agent, no_agent, full_disk],
)
def test_the_rescue_address_answers(node: Bed, trouble: Callable[[Bed], None]) -> None:
    trouble(node)
    node.vct("node", "restart", "0001")
    inittab = rescue(node, "readlink /etc/vct/node/inittab; hostname")
    assert inittab == "/etc/vct/inittab.fast.agent\nrd0001\n"


def test_no_address_of_the_local_network_is_needed(node: Bed) -> None:
    """Nor DHCP, nor names."""
    space = names.node_namespace(node.name, "0001")
    process.run(["ip", "-n", space, "-4", "addr", "flush", "dev", "eth0"])
    assert rescue(node, "hostname") == "rd0001\n"
