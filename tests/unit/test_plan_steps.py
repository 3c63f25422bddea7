"""Plans: what is done, in which order, why, and how it is taken back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vct.plan.steps import Action, Plan, Step, diff
from vct.plan.things import (
    KEEPSAKES,
    KINDS,
    Bridge,
    Container,
    Controller,
    ControllerFiles,
    Dhcp,
    End,
    Fabric,
    Keys,
    NodeFiles,
    NodeNetwork,
    OfflineMount,
    Port,
    Relay,
    RelayLink,
    Shaping,
    Thing,
    Uplink,
    Wire,
)
from vct.quality import Quality

World = dict[tuple[type[Thing], str], Thing]

KEYS = Keys(testbed="ring")
FABRIC = Fabric(namespace="vct-ring")
BRIDGE = Bridge(name="vct-local", mac="52:54:00:00:00:00", addresses=("10.241.0.254/16",))


def files(node: str, disk_mib: int = 500) -> NodeFiles:
    return NodeFiles(node=node, disk_mib=disk_mib)


def network(node: str) -> NodeNetwork:
    return NodeNetwork(
        node=node,
        namespace=f"vct-ring-{node}",
        mac="52:54:00:00:00:01",
        addresses=("10.241.0.1/16",),
        gateway="10.241.0.254",
    )


def container(node: str, memory_mib: int = 256) -> Container:
    return Container(
        node=node,
        namespace=f"vct-ring-{node}",
        hostname=f"rd{node}",
        image="node-debian@0123",
        root="/images/node-debian",
        arch="amd64",
        memory_mib=memory_mib,
    )


def controller() -> Controller:
    return Controller(
        namespace="vct-ring-ctl",
        hostname="controller",
        image="controller@0123",
        root="/images/controller.squashfs",
        arch="amd64",
        memory_mib=256,
        disk_mib=1024,
        hosts=("10.240.0.2",),
    )


def end(node: str) -> End:
    return End(
        node=node,
        namespace=f"vct-ring-{node}",
        interface="eth1",
        mac="52:54:00:01:00:01",
        address="10.242.0.1",
        neighbours=("10.242.0.2",),
    )


def wire(a: str, b: str, device: str = "veth") -> Wire:
    return Wire(link=f"{a}-{b}", a=end(a), b=end(b), device=device)


def port(node: str) -> Port:
    return Port(segment="roof", bridge="seg-roof", end=end(node), fabric_interface=f"port-{node}-1")


def shaping(a: str, b: str, delay_us: int = 0) -> Shaping:
    return Shaping(
        link=f"{a}-{b}",
        direction="forward",
        source_namespace=f"vct-ring-{a}",
        source_interface="eth1",
        sink_namespace=f"vct-ring-{b}",
        sink_interface="eth1",
        engine="netem",
        quality=Quality(delay_us=delay_us, loss_ppm=10_000),
    )


ONE_OF_EACH: tuple[Thing, ...] = (
    KEYS,
    FABRIC,
    BRIDGE,
    files("0001"),
    ControllerFiles(disk_mib=1024),
    Uplink(interface="vct-ring", host_address="10.240.0.1/30", fabric_address="10.240.0.2/30"),
    network("0001"),
    Dhcp(interface="vct-local", first="10.241.0.1", last="10.241.0.199"),
    wire("0001", "0002"),
    port("0001"),
    Relay(testbed="ring", links=()),
    shaping("0001", "0002"),
    controller(),
    container("0001"),
    OfflineMount(node="0001", root="/testbeds/ring/nodes/0001"),
)


def test_it_works() -> None:
    plan = diff([KEYS, container("0001")], [KEYS])
    assert [str(step) for step in plan.steps] == ["create node 0001 (missing)"]


def test_every_kind_is_tried_here() -> None:
    assert {type(thing) for thing in ONE_OF_EACH} == set(KINDS)


def test_nothing_to_do_is_an_empty_plan() -> None:
    assert not diff(ONE_OF_EACH, reversed(ONE_OF_EACH))
    assert diff(ONE_OF_EACH, ONE_OF_EACH) == Plan()


def test_things_are_made_in_the_order_of_kinds() -> None:
    assert [step.kind for step in diff(ONE_OF_EACH, []).steps] == list(KINDS)


def test_things_are_unmade_the_other_way_round_and_keepsakes_last_of_all() -> None:
    kinds = [step.kind for step in diff([], ONE_OF_EACH).steps]
    backwards = list(reversed(KINDS))
    assert kinds == [kind for kind in backwards if kind not in KEEPSAKES] + [
        kind for kind in backwards if kind in KEEPSAKES
    ]


def test_keepsakes_go_after_everything_new_is_made() -> None:
    plan = diff([FABRIC], [files("0001"), network("0001")])
    assert [(step.action, step.kind) for step in plan.steps] == [
        (Action.DELETE, NodeNetwork),
        (Action.CREATE, Fabric),
        (Action.DELETE, NodeFiles),
    ]


def test_deletes_make_room_before_anything_is_made() -> None:
    plan = diff([container("0002")], [container("0001")])
    assert [step.action for step in plan.steps] == [Action.DELETE, Action.CREATE]


def test_a_change_frees_what_a_new_thing_of_its_kind_may_need() -> None:
    plan = diff([container("0001"), container("0002", 128)], [container("0002", 512)])
    assert [step.action for step in plan.steps] == [Action.CHANGE, Action.CREATE]


def test_things_of_one_kind_are_done_by_name() -> None:
    plan = diff([container("0003"), container("0001"), container("0002")], [])
    assert [step.thing.key for step in plan.steps] == ["0001", "0002", "0003"]


def test_a_change_tells_what_differs_and_keeps_what_was() -> None:
    (step,) = diff([container("0001", 512)], [container("0001", 256)]).steps
    assert step.reason == "memory_mib: 256 -> 512"
    assert step.was == container("0001", 256)
    assert step.thing == container("0001", 512)


def test_several_differences_are_all_told() -> None:
    seen = replace(container("0001"), running=False, intact=False)
    (step,) = diff([container("0001")], [seen]).steps
    assert step.reason == "running: False -> True; intact: False -> True"


def test_a_lost_end_of_a_link_is_a_difference() -> None:
    whole = wire("0001", "0002")
    (step,) = diff([whole], [replace(whole, b=None)]).steps
    assert step.action is Action.CHANGE


@pytest.mark.parametrize(
    ("seen", "action"),
    [
        ((), Action.CREATE),
        ((container("0001", 64),), Action.CHANGE),
    ],
)
def test_the_inverse_of_making_takes_it_back(seen: tuple[Thing, ...], action: Action) -> None:
    plan = diff([container("0001")], seen)
    assert plan.steps[0].action is action
    assert taken_back(plan, world([container("0001")])) == world(seen)


def test_the_inverse_says_that_it_is_an_undo() -> None:
    inverse = diff([FABRIC], []).steps[0].inverse()
    assert inverse is not None
    assert str(inverse) == "delete fabric vct-ring (undo: create)"


@pytest.mark.parametrize("thing", [KEYS, files("0001")])
def test_users_data_cannot_be_brought_back(thing: Thing) -> None:
    assert diff([], [thing]).steps[0].inverse() is None


def test_keepsakes_that_were_made_can_be_unmade() -> None:
    inverse = diff([KEYS], []).steps[0].inverse()
    assert inverse is not None
    assert inverse.action is Action.DELETE


def test_stages_are_runs_of_one_action_and_kind() -> None:
    plan = diff(
        [FABRIC, container("0001"), container("0002"), container("0003", 512)],
        [container("0003")],
    )
    stages = [(stage[0].action, stage[0].kind, len(stage)) for stage in plan.stages()]
    assert stages == [
        (Action.CREATE, Fabric, 1),
        (Action.CHANGE, Container, 1),
        (Action.CREATE, Container, 2),
    ]


def test_stages_hold_every_step_in_order() -> None:
    plan = diff(ONE_OF_EACH, [container("0009"), BRIDGE])
    assert tuple(step for stage in plan.stages() for step in stage) == plan.steps


# --- what goes with a namespace ------------------------------------------------------------------


def implied(*gone: Thing) -> set[str]:
    return {str(step.thing) for step in diff([], gone).steps if step.implied}


def test_interfaces_go_with_their_namespace() -> None:
    gone = implied(network("0001"), wire("0001", "0002"), port("0001"), shaping("0001", "0002"))
    assert gone == {"link 0001-0002", "port roof:0001", "shaping of link 0001-0002:forward"}


def test_a_bridge_goes_with_the_fabric() -> None:
    assert implied(FABRIC, BRIDGE) == {"bridge vct-local"}


def test_persistent_taps_are_deleted_by_themselves() -> None:
    assert "link 0001-0002" not in implied(network("0001"), wire("0001", "0002", "tap"))


def test_what_loses_no_namespace_is_deleted_by_itself() -> None:
    assert implied(BRIDGE, wire("0001", "0002"), network("0003"), container("0003")) == set()


def test_nothing_is_implied_but_deletes() -> None:
    assert not any(step.implied for step in diff(ONE_OF_EACH, []).steps)


# --- any two worlds ------------------------------------------------------------------------------


def world(things: object) -> World:
    assert isinstance(things, list | tuple)
    return {(type(thing), thing.key): thing for thing in things}


def applied(steps: tuple[Step, ...], start: World) -> World:
    """The simplest drivers: a dictionary. They refuse what a real one could not do."""
    now = dict(start)
    for step in steps:
        place = (step.kind, step.thing.key)
        match step.action:
            case Action.CREATE:
                assert place not in now
                now[place] = step.thing
            case Action.CHANGE:
                assert now[place] == step.was
                now[place] = step.thing
            case Action.DELETE:
                assert now.pop(place) == step.thing
    return now


def taken_back(plan: Plan, end: World) -> World:
    """The world after all inverses that there are, last step first."""
    inverses = (step.inverse() for step in reversed(plan.steps))
    return applied(tuple(step for step in inverses if step is not None), end)


NODES = st.sampled_from(["0001", "0002", "0003", "fff0"])
THINGS = st.one_of(
    st.just(KEYS),
    st.just(FABRIC),
    st.builds(files, NODES, st.sampled_from([100, 500])),
    st.builds(network, NODES),
    st.builds(container, NODES, st.sampled_from([128, 256, 512])),
    st.builds(wire, NODES, NODES, st.sampled_from(["veth", "tap"])),
    st.builds(port, NODES),
    st.builds(shaping, NODES, NODES, st.sampled_from([0, 5000])),
)
WORLDS = st.lists(THINGS, unique_by=lambda thing: (type(thing), thing.key))


@given(wanted=WORLDS, seen=WORLDS)
def test_doing_the_plan_makes_what_is_wanted(wanted: list[Thing], seen: list[Thing]) -> None:
    assert applied(diff(wanted, seen).steps, world(seen)) == world(wanted)


@given(wanted=WORLDS)
def test_a_second_plan_is_empty(wanted: list[Thing]) -> None:
    assert not diff(wanted, list(reversed(wanted)))


@given(wanted=WORLDS, seen=WORLDS)
def test_the_inverses_bring_back_all_but_deleted_keepsakes(
    wanted: list[Thing], seen: list[Thing]
) -> None:
    plan = diff(wanted, seen)
    lost = {
        (step.kind, step.thing.key)
        for step in plan.steps
        if step.action is Action.DELETE and step.kind in KEEPSAKES
    }
    before = {place: thing for place, thing in world(seen).items() if place not in lost}
    assert taken_back(plan, world(wanted)) == before


@given(wanted=WORLDS, seen=WORLDS)
def test_every_step_has_a_reason(wanted: list[Thing], seen: list[Thing]) -> None:
    assert all(step.reason for step in diff(wanted, seen).steps)


@given(wanted=WORLDS, seen=WORLDS)
def test_a_plan_does_not_depend_on_the_order_of_what_it_is_given(
    wanted: list[Thing], seen: list[Thing]
) -> None:
    assert diff(wanted, seen) == diff(list(reversed(wanted)), list(reversed(seen)))


def test_a_link_that_is_made_anew_gets_its_shaping_and_its_place_in_the_relay_again() -> None:
    def end(node: str, mac: str) -> End:
        return End(
            node=node,
            namespace=f"n{node}",
            interface="eth1",
            mac=mac,
            address="10.242.0.1",
            neighbours=(),
        )

    shaping = Shaping(
        link="x",
        direction="forward",
        source_namespace="n0001",
        source_interface="eth1",
        sink_namespace="n0002",
        sink_interface="eth1",
        engine="netem",
        quality=Quality(delay_us=5),
    )
    carried = RelayLink(
        link="x",
        a_namespace="n0001",
        a_interface="eth1",
        b_namespace="n0002",
        b_interface="eth1",
        forward=Quality(),
        backward=Quality(),
    )
    relay = Relay(testbed="t", links=(carried,))
    wire = Wire(link="x", a=end("0001", "02:1"), b=end("0002", "02:2"))
    torn = replace(wire, b=None)

    plan = diff([wire, relay, shaping], [torn, relay, shaping])

    assert [(step.action, step.kind, step.implied) for step in plan.steps] == [
        (Action.DELETE, Shaping, True),
        (Action.CHANGE, Relay, True),
        (Action.CHANGE, Wire, False),
        (Action.CHANGE, Relay, False),
        (Action.CREATE, Shaping, False),
    ]
