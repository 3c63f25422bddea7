"""The pure half of the benchmarks: figures, targets, topologies, parsers. Nothing is timed here."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import figures, idle, links, machine, nodes, topologies
from benchmarks.figures import Result, Target
from vct.errors import VctError
from vct.model.load import load_testbed


def result(**changes: object) -> Result:
    fields: dict[str, object] = {"name": "init", "what": "vct init", "unit": "s", "runs": (3.0,)}
    return Result(**{**fields, **changes})  # type: ignore[arg-type]


def table_text(table: object) -> str:
    paper = StringIO()
    Console(width=160, file=paper).print(table)
    return paper.getvalue()


def test_it_works() -> None:
    figure = result(runs=(3.0, 1.0, 2.0), floor=(1.0, 1.5, 0.5), target=Target(limit=2))
    assert figure.ratio == 2.0
    assert figure.holds is True


def test_a_target_is_judged_by_the_median_and_met_at_its_limit() -> None:
    assert result(runs=(2.0, 9.0, 1.0), target=Target(limit=2.0)).holds is True
    assert result(runs=(2.1, 9.0, 1.0), target=Target(limit=2.0)).holds is False


def test_a_target_of_the_ratio_is_judged_beside_the_floor() -> None:
    target = Target(limit=1.5, of="ratio")
    assert result(runs=(3.0,), floor=(2.0,), target=target).holds is True
    assert result(runs=(3.1,), floor=(2.0,), target=target).holds is False


def test_nothing_is_judged_without_a_target_or_without_the_floor_it_needs() -> None:
    assert result().holds is None
    assert result(target=Target(limit=1.5, of="ratio")).holds is None
    assert result().ratio is None


def test_a_spread_keeps_every_run() -> None:
    assert figures.spread([3.0, 1.0, 2.0]) == {
        "median": 2.0,
        "min": 1.0,
        "max": 3.0,
        "runs": [3.0, 1.0, 2.0],
    }


@pytest.mark.parametrize(
    ("runs", "index"), [((5.0,), 0), ((5.0, 1.0, 2.0), 2), ((1.0, 2.0, 9.0, 3.0), 1)]
)
def test_the_median_run_is_the_one_nearest_to_the_median(
    runs: tuple[float, ...], index: int
) -> None:
    assert figures.median_run(runs) == index


def test_the_document_is_json_with_measured_floor_and_target() -> None:
    figure = result(floor=(2.0,), floor_is="a loop", target=Target(limit=4), parts={"a": 1.0})
    document = figures.document(
        [figure, result(name="bare")],
        date="2026-01-02T03:04:05+00:00",
        machine={"cores": 2},
        load={"before": 0.1},
        quick=True,
        left_out=["links: no Mininet"],
    )
    read = json.loads(json.dumps(document))
    first, second = read["results"]
    assert first["floor"]["is"] == "a loop"
    assert first["ratio"] == 1.5
    assert first["target"] == {"of": "value", "at_most": 4}
    assert first["holds"] is True
    assert first["parts"] == {"a": 1.0}
    assert second["floor"] is None
    assert second["holds"] is None
    assert read["left_out"] == ["links: no Mininet"]


def test_the_table_shows_measured_floor_ratio_and_target() -> None:
    figure = result(runs=(3.0, 3.2, 2.5), floor=(2.0,), target=Target(limit=1.4, of="ratio"))
    text = table_text(figures.figures_table([figure]))
    for words in ("3 s (2.5 - 3.2)", "2 s", "1.50", "at most 1.4 x floor", "no"):
        assert words in text


def test_the_greatest_part_comes_first() -> None:
    text = table_text(figures.parts_table([result(parts={"load": 0.5, "start": 2.0})]))
    assert text.index("start") < text.index("load")


def test_notes_say_what_the_floor_is() -> None:
    bare, both = result(), result(floor=(1.0,), floor_is="a loop")
    assert figures.notes([bare, both]) == ["init: vct init", "init: vct init; floor: a loop"]


@pytest.mark.parametrize(
    ("value", "text"), [(0.0423, "0.0423 s"), (3.456, "3.46 s"), (254, "254 s")]
)
def test_values_have_three_digits(value: float, text: str) -> None:
    assert figures.render_value(value, "s") == text


# --- topologies ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "links"), [(4, 4), (5, 10), (6, 15), (100, 180)])
def test_a_mesh_is_a_good_testbed_file_with_so_many_links(
    tmp_path: Path, count: int, links: int
) -> None:
    file = tmp_path / "mesh.yaml"
    file.write_text(topologies.mesh("mesh", count, links))
    testbed = load_testbed(file)
    assert len(testbed.nodes) == count
    assert len({frozenset((link.a, link.b)) for link in testbed.links}) == links


def test_a_ring_joins_every_node_to_the_next_and_the_last_to_the_first() -> None:
    ring = json.loads(topologies.ring("ring", 3))
    assert [link["between"] for link in ring["links"]] == [
        ["0001", "0002"],
        ["0002", "0003"],
        ["0003", "0001"],
    ]


def test_a_mesh_cannot_have_more_links_than_pairs() -> None:
    with pytest.raises(ValueError, match="4 nodes have no 7 pairs"):
        topologies.mesh("mesh", 4, 7)


def test_node_ids_are_those_of_testbed_files() -> None:
    assert topologies.node_ids(17)[-2:] == ["0010", "0011"]


# --- parsers -------------------------------------------------------------------------------------

JOURNAL = """\
{"time": 100.5, "event": "begin", "action": "create", "kind": "Keys"}
{"time": 100.6, "event": "done", "action": "create", "kind": "Keys"}
{"time": 100.6, "event": "begin", "action": "create", "kind": "Container"}
{"time": 100.7, "event": "begin", "action": "create", "kind": "Container"}
{"time": 102.0, "event": "done", "action": "create", "kind": "Container"}
"""


def test_the_journal_tells_when_all_ran_and_what_took_how_long() -> None:
    running, parts = nodes.parse_journal(JOURNAL, begun=100.0, total=2.5)
    assert running == pytest.approx(2.0)
    assert parts == pytest.approx(
        {
            "load, observe, plan": 0.5,
            "create Keys": 0.1,
            "create Container": 1.4,
            "wait for sshd": 0.5,
        }
    )


def test_a_process_share_of_memory_is_read_in_bytes() -> None:
    assert idle.parse_pss("Rss:  900 kB\nPss:  12 kB\nPss_Anon: 3 kB\n") == 12 * 1024
    assert idle.parse_pss("") == 0


@pytest.mark.parametrize("name", idle.USAGE_FILES)
def test_groups_of_both_versions_are_added_up(tmp_path: Path, name: str) -> None:
    for group, size in (("node", "3000"), ("monitor", "500\n")):
        (tmp_path / group).mkdir()
        (tmp_path / group / name).write_text(size)
    assert idle.usage([tmp_path / "node", tmp_path / "monitor"]) == 3500


def test_no_group_that_counts_memory_is_an_error_and_not_nought(tmp_path: Path) -> None:
    with pytest.raises(VctError, match="counts memory"):
        idle.usage([tmp_path])


def test_processes_of_groups_below_are_found_once(tmp_path: Path) -> None:
    below = tmp_path / "node" / "init.scope"
    below.mkdir(parents=True)
    (tmp_path / "node" / "cgroup.procs").write_text("7\n8\n")
    (below / "cgroup.procs").write_text("8\n9\n")
    assert idle.processes([tmp_path / "node"]) == {7, 8, 9}


def test_facts_about_the_machine_hold_no_name_of_it() -> None:
    assert machine.kernel_version("6.18.44-somebody-42") == "6.18.44"
    assert machine.parse_memory_mib("MemFree: 1 kB\nMemTotal: 2048000 kB\n") == 2000


def test_busy_time_leaves_idle_and_waiting_out() -> None:
    assert machine.parse_busy_ticks("cpu  1 2 4 1000 2000 8 16 0 0 0\ncpu0 1 1\n") == 31


def test_bare_pairs_go_straight_between_the_namespaces() -> None:
    first, *rest = links.render_pairs({"0001": "a", "0002": "b", "0003": "c"})
    assert first == "link add name e0a netns a type veth peer name e0b netns b"
    assert len(rest) == 2
