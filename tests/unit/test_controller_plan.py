"""The controller in the testbed file, in what is wanted of it, and in what it is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from tests.unit.test_names import testbed_names as some_names
from vct import names
from vct.controller import config
from vct.drivers.controller_config import parse_config, render_config, render_settings
from vct.drivers.dhcp import parse_dhcp, render_leases, render_names
from vct.drivers.dhcp import render_config as render_dhcp
from vct.drivers.uplink import parse_door, parse_tables, render_nat
from vct.errors import InputError, UsageError
from vct.model.load import parse_testbed
from vct.model.testbed import Controller as Asked
from vct.model.testbed import Testbed
from vct.paths import Home
from vct.plan.steps import diff
from vct.plan.things import (
    Controller,
    ControllerFiles,
    Dhcp,
    NodeNetwork,
    Thing,
    Uplink,
)
from vct.plan.wanted import BuiltImage, Facts, number, wanted
from vct.report.status import NodeState, controller_status
from vct.verbs.record import Applied, load_applied, save_applied

NODES = 'name: ring\nnodes: {"0001": {}}\n'
FACTS = Facts(
    netem=True,
    images={
        ("node-debian", "amd64"): BuiltImage(label="node-debian@0123", root="/images/n"),
        ("controller", "amd64"): BuiltImage(label="controller@4567", root="/images/c.squashfs"),
    },
)
PATHS = Home(root=Path("/srv/vct")).testbed("ring")


def bed(text: str = "controller: {}") -> Testbed:
    return parse_testbed(NODES + text, "ring.yaml")


def things(testbed: Testbed) -> list[Thing]:
    return wanted(testbed, number(testbed, None), FACTS)


def only(kind: type[Thing], found: list[Thing]) -> Thing:
    (thing,) = (thing for thing in found if isinstance(thing, kind))
    return thing


def controller() -> Controller:
    found = only(Controller, things(bed()))
    assert isinstance(found, Controller)
    return found


def test_it_works() -> None:
    thing = controller()
    assert (thing.namespace, thing.root) == ("vct-ring-ctl", "/images/c.squashfs")
    assert (thing.memory_mib, thing.disk_mib) == (256, 1024)


# --- the testbed file ----------------------------------------------------------------------------


def test_there_is_none_unless_it_is_asked_for() -> None:
    testbed = bed("")
    assert testbed.controller is None
    kinds = {type(thing) for thing in things(testbed)}
    assert not kinds & {Controller, ControllerFiles}
    uplink = only(Uplink, things(testbed))
    assert isinstance(uplink, Uplink)
    assert uplink.door == ""


def test_its_values_have_units_and_defaults() -> None:
    text = "controller: {arch: i386, memory: 512MiB, disk: 2GiB, image: mine, templates: [a]}"
    assert bed(text).controller == Asked(
        image="mine", arch="i386", memory_mib=512, disk_mib=2048, templates=("a",)
    )
    assert bed().controller == Asked()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("controller:", "must be a mapping"),
        ("controller: yes", "must be a mapping"),
        ("controller: {memory: 3}", "memory"),
        ("controller: {databases: x}", "unknown key"),
        ("controller: {arch: mips}", "unknown arch"),
    ],
)
def test_what_cannot_be_meant_is_told_with_its_place(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        bed(text)
    assert caught.value.line == 3
    assert caught.value.key.startswith("controller")


def test_the_record_gives_it_back(tmp_path: Path) -> None:
    paths = Home(root=tmp_path).testbed("ring")
    paths.root.mkdir(parents=True)
    applied = Applied(testbed=bed("controller: {templates: [a]}"), numbers=number(bed(), None))
    save_applied(paths, applied)
    assert load_applied(paths) == applied


# --- names ---------------------------------------------------------------------------------------


def test_its_address_is_neither_a_nodes_nor_one_that_dhcp_gives() -> None:
    taken = {names.local_ipv4(names.node_id(n)) for n in range(1, names.LAST_NODE + 1)}
    assert names.CONTROLLER_IPV4 in names.LOCAL_NETWORK
    assert names.CONTROLLER_IPV4 not in taken | {names.LOCAL_GATEWAY}
    assert not names.DHCP_FIRST <= names.CONTROLLER_IPV4 <= names.DHCP_LAST
    assert names.mac(0, names.node_id(names.LAST_NODE)) < names.CONTROLLER_MAC
    assert str(names.controller_rescue_ipv6()) == "fdbd:e804:6aa9:2:5054:ff:fe00:fffa"


@given(some_names, some_names)
def test_no_other_testbeds_namespace_is_called_like_a_controllers(one: str, other: str) -> None:
    assert names.controller_namespace(one) != names.fabric_namespace(other)


def test_a_testbed_cannot_be_called_like_a_controllers_namespace() -> None:
    with pytest.raises(UsageError, match="ring-ctl"):
        names.check_testbed_name("ring-ctl")


def test_its_url_is_the_testbeds_own_end_of_the_uplink() -> None:
    assert names.controller_url(0) == "http://10.240.0.2/"
    assert names.controller_url(1) == "http://10.240.0.6/"


# --- what is wanted ------------------------------------------------------------------------------


def test_a_controller_that_comes_to_a_testbed_changes_nothing_of_its_nodes() -> None:
    steps = diff(things(bed()), things(bed(""))).steps
    assert [str(step).split(" (")[0] for step in steps] == [
        "create files of controller",
        f"change uplink {names.uplink_interface('ring')}",
        "create network of node ctl",
        "change DHCP server vct-local",
        "create system of controller",
    ]


def test_a_controller_that_is_wanted_no_more_goes_with_its_data_last() -> None:
    steps = diff(things(bed("")), things(bed())).steps
    assert str(steps[0]).startswith("delete system of controller")
    assert str(steps[-1]).startswith("delete files of controller")
    assert steps[-1].inverse() is None


def test_another_size_is_a_change_of_disk_and_container() -> None:
    steps = diff(things(bed("controller: {disk: 2GiB}")), things(bed())).steps
    assert [(str(step.thing), step.reason) for step in steps] == [
        ("files of controller", "disk_mib: 1024 -> 2048"),
        ("system of controller", "disk_mib: 1024 -> 2048"),
    ]


def test_its_network_is_made_as_a_nodes() -> None:
    networks = [thing for thing in things(bed()) if isinstance(thing, NodeNetwork)]
    assert networks[0].node == "ctl"
    assert networks[0].addresses == (
        "10.241.255.250/16",
        "fdbd:e804:6aa9:2:5054:ff:fe00:fffa/64",
    )


def test_the_name_server_knows_it_and_is_read_back_with_it() -> None:
    thing = only(Dhcp, things(bed()))
    assert isinstance(thing, Dhcp)
    known = render_names(thing.hosts)
    assert known.splitlines()[-1] == "10.241.255.250 controller"
    texts = render_dhcp(thing, Path("/run/x"), None), render_leases(thing.hosts), known
    assert parse_dhcp(*texts) == thing


# --- the door in the firewall --------------------------------------------------------------------


def test_a_door_is_a_rule_of_ours_in_the_fabric() -> None:
    door = "10.241.255.250:80"
    text = render_nat("vct-ring", "mark", source="10.241.0.0/16", way_out="x", door=door)
    assert 'iifname "uplink" tcp dport 80 dnat to 10.241.255.250:80 comment "mark"' in text
    without = render_nat("vct-ring", "mark", source="10.241.0.0/16", way_out="x")
    assert "dnat" not in without


def test_a_door_is_read_back_from_our_table_only() -> None:
    dnat = '{"dnat": {"addr": "10.241.255.250", "port": 80}}'
    rule = '{"rule": {"table": "%s", "comment": "mark", "expr": [%s]}}'
    listing = '{"nftables": [{"table": {"name": "vct-ring"}}, %s]}'
    ours, theirs = listing % (rule % ("vct-ring", dnat)), listing % (rule % ("theirs", dnat))
    assert parse_door(ours, "vct-ring") == "10.241.255.250:80"
    assert parse_tables(ours) == {"vct-ring": "mark"}
    assert parse_door(theirs, "vct-ring") == ""
    assert parse_door("", "vct-ring") == ""


# --- what the container is told ------------------------------------------------------------------


@pytest.mark.parametrize("cgroup2", [False, True])
def test_its_configuration_says_what_it_was_made_from(cgroup2: bool) -> None:
    thing = controller()
    text = render_config(thing, PATHS, cgroup2=cgroup2)
    assert parse_config(text) == thing
    assert "lxc.rootfs.path = overlay:/srv/vct/testbeds/ring/controller/lower:" in text
    assert "lxc.namespace.share.net = /run/netns/vct-ring-ctl" in text
    assert "/testbeds/ring/controller/settings etc/vct/controller none bind,ro" in text


@pytest.mark.parametrize("text", ["", "# vct controller: {}", "# vct controller: []", "lxc.x = 1"])
def test_a_foreign_configuration_is_nothing_that_is_wanted(text: str) -> None:
    assert not parse_config(text).intact


def test_its_settings_are_those_that_it_reads() -> None:
    secret = "s" * config.SECRET_LENGTH
    told = config.parse(render_settings(controller(), "ring", secret), "controller.json")
    assert told.data == "/var/lib/vct-controller"
    assert told.testbed == "ring"
    assert names.controller_url(number(bed(), None).uplink) == f"http://{told.hosts[0]}/"
    assert "[fd65:fc41:c50f::2]" in told.hosts


# --- status --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "said", "state"),
    [
        ([], "", NodeState.ABSENT),
        ([False], "", NodeState.STOPPED),
        ([True], "HTTP 503", NodeState.STARTING),
        ([True], "", NodeState.READY),
    ],
)
def test_its_state_says_what_to_do(seen: list[bool], said: str, state: NodeState) -> None:
    have = [replace(controller(), running=running) for running in seen]
    found = controller_status(things(bed()), have, "http://10.240.0.2/", lambda _url: said)
    assert found is not None
    assert found.state is state
    assert said in found.reason


def test_nobody_asks_for_the_state_of_none() -> None:
    assert controller_status(things(bed("")), [], "http://x/", pytest.fail) is None
