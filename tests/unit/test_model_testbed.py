"""What testbed files mean: defaults, overrides, names of links, the way back, the schema."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vct.errors import InputError, UsageError
from vct.model import load
from vct.model.load import load_testbed, parse_testbed
from vct.model.testbed import Controller, Link, Management, Node, Segment, Testbed
from vct.names import node_id
from vct.quality import JITTER_MAX_US, Quality

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.yaml"))
NODES = 'name: ring\nnodes: {"0001": {}, "0002": {}, "0003": {}}\n'


def parse(text: str) -> Testbed:
    return parse_testbed(text, "testbed.yaml")


def links_of(text: str) -> tuple[Link, ...]:
    return parse(f"{NODES}links:\n{text}").links


def test_it_works() -> None:
    testbed = parse(NODES + 'links: [{between: ["0001", "0002"], delay: 10ms}]')
    quality = Quality(delay_us=10_000)
    assert testbed == Testbed(
        name="ring",
        nodes=(Node(id="0001"), Node(id="0002"), Node(id="0003")),
        links=(Link(name="0001-0002", a="0001", b="0002", forward=quality, backward=quality),),
    )


def test_a_node_is_small_debian_unless_told_otherwise() -> None:
    node = parse(NODES).nodes[0]
    assert (node.image, node.arch, node.memory_mib, node.disk_mib, node.boot, node.position) == (
        "node-debian",
        "amd64",
        256,
        512,
        "fast",
        None,
    )


def test_a_node_overrides_the_defaults_key_by_key() -> None:
    testbed = parse(
        "name: ring\n"
        "defaults: {node: {arch: i386, memory: 64MiB, boot: full}}\n"
        'nodes: {"0001": {memory: 1.5GiB, disk: 2GiB, position: [41.389, -2]}, "0002": {}}\n'
    )
    first, second = testbed.nodes
    assert first == Node(
        id="0001",
        arch="i386",
        memory_mib=1536,
        disk_mib=2048,
        boot="full",
        position=(41.389, -2.0),
    )
    assert second == Node(id="0002", arch="i386", memory_mib=64, boot="full")


def test_a_node_may_say_what_the_builtin_default_says() -> None:
    text = 'name: x\ndefaults: {node: {arch: i386}}\nnodes: {"0001": {arch: amd64}}'
    assert parse(text).nodes[0].arch == "amd64"


def test_a_position_may_be_written_as_json_writes_it() -> None:
    testbed = parse('{"name": "x", "nodes": {"0001": {"position": [1e-05, -2E+1]}}}')
    assert testbed.nodes[0].position == (0.00001, -20.0)


def test_a_node_id_that_looks_like_a_number_to_newer_yaml_is_text() -> None:
    assert parse("name: x\nnodes: {0e12: {}, 0008: {}}").nodes == (Node(id="0008"), Node(id="0e12"))


def test_nodes_are_sorted_and_links_are_not() -> None:
    testbed = parse(
        'name: x\nnodes: {"0a00": {}, "0001": {}, "0010": {}}\n'
        'links: [{between: ["0a00", "0010"]}, {between: ["0001", "0010"]}]'
    )
    assert [node.id for node in testbed.nodes] == ["0001", "0010", "0a00"]
    assert [link.a for link in testbed.links] == ["0a00", "0001"]


def test_parts_left_empty_are_nothing() -> None:
    text = "name: x\ndefaults:\nnodes:\nlinks:\nsegments:\nslices:\n"
    assert parse(text) == Testbed(name="x")
    assert parse('name: x\nnodes:\n  "0001":\n').nodes == (Node(id="0001"),)


def test_an_empty_list_of_slices_is_accepted() -> None:
    assert parse(f"{NODES}slices: []").name == "ring"


def test_a_name_from_outside_overrides_the_file() -> None:
    assert parse_testbed(NODES, "f", "other").name == "other"
    assert parse_testbed('nodes: {"0001": {}}', "f", "other").name == "other"
    assert parse_testbed("name: Not Good\nnodes: {}", "f", "other").name == "other"


def test_a_bad_name_from_outside_is_not_the_fault_of_the_file() -> None:
    with pytest.raises(UsageError) as caught:
        parse_testbed(NODES, "f", "Not Good")
    assert not isinstance(caught.value, InputError)


def test_the_source_does_not_count_in_a_comparison() -> None:
    assert parse_testbed(NODES, "a") == parse_testbed(NODES, "b")
    assert parse_testbed(NODES, "a").source == "a"


def test_a_direction_overrides_the_link_key_by_key() -> None:
    (link,) = links_of(
        '- {between: ["0002", "0001"], delay: 1s, jitter: 250us, loss: 0.0001%, rate: 1.5kbit,'
        " forward: {loss: 0%, delay: 60s}, backward: {jitter: 0us, rate: 100gbit}}"
    )
    assert link.forward == Quality(delay_us=60_000_000, jitter_us=250, loss_ppm=0, rate_bps=1500)
    assert link.backward == Quality(
        delay_us=1_000_000, jitter_us=0, loss_ppm=1, rate_bps=100 * 10**9
    )
    assert (link.a, link.b) == ("0002", "0001")


def test_links_without_a_name_are_called_after_their_nodes() -> None:
    links = links_of(
        '- {between: ["0001", "0002"]}\n'
        '- {between: ["0002", "0001"]}\n'
        '- {between: ["0001", "0002"], name: spare}\n'
        '- {between: ["0001", "0002"]}\n'
    )
    assert [link.name for link in links] == ["0001-0002", "0001-0002.2", "spare", "0001-0002.3"]


def test_a_default_name_gives_way_to_a_written_one() -> None:
    links = links_of(
        '- {between: ["0001", "0002"]}\n- {between: ["0002", "0003"], name: 0001-0002}\n'
    )
    assert [link.name for link in links] == ["0001-0002.2", "0001-0002"]


def test_a_segment_keeps_its_members_in_order() -> None:
    testbed = parse(f'{NODES}segments: [{{name: roof, members: ["0003", "0001"]}}]')
    assert testbed.segments == (Segment(name="roof", members=("0003", "0001")),)


def test_nodes_are_reached_by_tinc_unless_told_otherwise() -> None:
    assert parse("name: x\nnodes: {}\ncontroller: {}").management == Management()
    text = "name: x\nnodes: {}\ncontroller: {}\nmanagement: {backend: native}"
    assert parse(text).management == Management(backend="native")


def test_a_node_may_be_reached_by_a_gateway() -> None:
    bed = parse(
        'name: x\nnodes: {"0001": {gateway: "0003"}, "0003": {}}\n'
        'controller: {}\nmanagement: {gateways: ["0003"]}'
    )
    assert bed.management == Management(backend="tinc", gateways=("0003",))
    assert [node.gateway for node in bed.nodes] == ["0003", ""]


def test_a_node_has_at_most_255_links_and_segments() -> None:
    line = '- {between: ["0001", "0002"]}\n'
    assert len(links_of(line * 255)) == 255
    with pytest.raises(InputError, match="0001 has more than 255 links and segments") as caught:
        links_of(line * 256)
    assert caught.value.line == 3 + 256


def test_several_problems_are_counted_and_the_first_is_told() -> None:
    with pytest.raises(InputError) as caught:
        links_of('- {between: ["0001", "0008"]}\n- {between: ["0001", "0009"], name: X}\n')
    assert caught.value.key == "links[1].name"  # values come before what they mean together
    with pytest.raises(InputError) as caught:
        links_of('- {between: ["0001", "0008"]}\n- {between: ["0001", "0009"]}\n')
    assert caught.value.line == 4
    assert caught.value.hint.splitlines()[-1] == "and 1 more problem in this file"


def test_a_missing_node_among_many_is_answered_with_its_nearest() -> None:
    nodes = ", ".join(f'"{node_id(number)}": {{}}' for number in range(1, 400, 2))
    with pytest.raises(InputError) as caught:
        parse(f'name: x\nnodes: {{{nodes}}}\nlinks: [{{between: ["0001", "0102"]}}]')
    assert len(caught.value.hint) < 100
    assert "nearest: 0" in caught.value.hint


# --- there and back ------------------------------------------------------------------------------


@st.composite
def qualities(draw: st.DrawFn) -> Quality:
    delay = draw(st.integers(0, 60_000_000))
    return Quality(
        delay_us=delay,
        jitter_us=draw(st.integers(0, min(delay, JITTER_MAX_US))),
        loss_ppm=draw(st.integers(0, 1_000_000)),
        rate_bps=draw(st.integers(0, 100 * 10**9)),
    )


@st.composite
def any_testbed(draw: st.DrawFn) -> Testbed:
    ids = draw(st.lists(st.integers(1, 0xFFF0).map(node_id), min_size=2, max_size=6, unique=True))
    size = st.integers(16, 1024 * 1024)
    positions = st.tuples(st.floats(-90, 90), st.floats(-180, 180))
    nodes = [
        Node(
            id=name,
            image=draw(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,62}", fullmatch=True)),
            arch=draw(st.sampled_from(["amd64", "i386"])),
            memory_mib=draw(size),
            disk_mib=draw(size),
            boot=draw(st.sampled_from(["fast", "full"])),
            position=draw(st.none() | positions),
        )
        for name in sorted(ids)
    ]
    names = draw(st.lists(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,31}", fullmatch=True), unique=True))
    pairs = st.permutations(ids)
    links = [
        Link(name=name, a=a, b=b, forward=draw(qualities()), backward=draw(qualities()))
        for name, (a, b, *_) in ((name, draw(pairs)) for name in names)
    ]
    called = st.lists(st.from_regex(r"[a-z0-9][a-z0-9-]{0,10}", fullmatch=True), unique=True)
    segments = [Segment(name=name, members=tuple(draw(pairs))) for name in draw(called)]
    name = draw(st.from_regex(r"[a-z][a-z0-9]{0,31}", fullmatch=True))
    bed = Testbed(name=name, nodes=tuple(nodes), links=tuple(links), segments=tuple(segments))
    return draw(st.just(bed) | managed(bed))


@st.composite
def managed(draw: st.DrawFn, bed: Testbed) -> Testbed:
    """The same with a controller, and with a gateway for the last node, if tinc is wanted."""
    templates = draw(st.none() | st.just(()) | st.just(("sliver-debian",)))
    controller = Controller(memory_mib=draw(st.integers(16, 4096)), templates=templates)
    if draw(st.booleans()):
        return replace(bed, controller=controller, management=Management(backend="native"))
    gateway = bed.nodes[0].id
    nodes = (*bed.nodes[:-1], replace(bed.nodes[-1], gateway=gateway))
    management = Management(gateways=(gateway,))
    return replace(bed, controller=controller, management=management, nodes=nodes)


@given(any_testbed())
def test_a_document_loads_to_an_equal_testbed(testbed: Testbed) -> None:
    document = load.testbed_document(testbed)
    assert parse(json.dumps(document)) == testbed
    assert parse(yaml.safe_dump(document)) == testbed


def test_a_large_testbed_comes_back_whole() -> None:
    ids = [node_id(number) for number in range(1, 2001)]
    quality = Quality(delay_us=10_000, jitter_us=2000, loss_ppm=10_000, rate_bps=54_000_000)
    ends = [*pairwise(ids), *pairwise(ids[::2]), *pairwise(ids[::3]), *pairwise(ids[::5])] * 2
    testbed = Testbed(
        name="large",
        nodes=tuple(Node(id=name, position=(41.5, 2.25)) for name in ids),
        links=tuple(
            Link(name=f"l{number}", a=a, b=b, forward=quality, backward=quality)
            for number, (a, b) in enumerate(ends[:5200])
        ),
    )
    assert parse(json.dumps(load.testbed_document(testbed))) == testbed


# --- examples and schema -------------------------------------------------------------------------


def schema_faults(document: Any) -> list[str]:
    validator = jsonschema.Draft202012Validator(load.testbed_schema())
    return [fault.message for fault in validator.iter_errors(document)]


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(load.testbed_schema())


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_examples_are_valid_for_vct_and_for_editors(file: Path) -> None:
    assert load_testbed(file).name == file.stem
    assert schema_faults(yaml.safe_load(file.read_text())) == []


@given(any_testbed())
def test_the_schema_accepts_every_document(testbed: Testbed) -> None:
    assert schema_faults(load.testbed_document(testbed)) == []


@pytest.mark.parametrize(
    "text",
    [
        "nodes: {}",
        "name: Ring\nnodes: {}",
        "name: ring-0001\nnodes: {}",
        'name: ring\nnodes: {"1": {}}',
        'name: ring\nnodes: {"0000": {}}',
        'name: ring\nnodes: {"fff1": {}}',
        'name: ring\nnodes: {"0001": {memory: 256}}',
        'name: ring\nnodes: {"0001": {memory: 256MB}}',
        'name: ring\nnodes: {"0001": {speed: fast}}',
        'name: ring\nnodes: {}\nlinks: [{between: ["0001"]}]',
        'name: ring\nnodes: {}\nlinks: [{between: ["0001", "0002"], rate: 54 mbit}]',
        'name: ring\nnodes: {}\nlinks: [{between: ["0001", "0002"], forward: {dely: 5ms}}]',
        'name: ring\nnodes: {}\nsegments: [{name: roof, members: ["0001"]}]',
        "name: ring\nnodes: {}\nslices: [x]",
        "name: ring\nnodes: {}\ncontroller: yes",
        "name: ring\nnodes: {}\ncontroller: {disk: 2}",
        "name: ring\nnodes: {}\ncontroller: {}\nmanagement: {backend: vpn}",
        "name: ring\nnodes: {}\ncontroller: {}\nmanagement: {gateways: ['1']}",
    ],
)
def test_the_schema_refuses_what_vct_refuses(text: str) -> None:
    with pytest.raises(InputError):
        parse(text)
    assert schema_faults(yaml.safe_load(text)) != []
