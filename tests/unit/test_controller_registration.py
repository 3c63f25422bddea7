"""What a controller is told of its testbed: only what it does not know yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vct.build import record, store
from vct.errors import RefusedError
from vct.model.load import parse_testbed
from vct.model.testbed import Testbed
from vct.paths import Home
from vct.plan.wanted import Numbers, number
from vct.verbs.registration import (
    Change,
    Registry,
    TemplateImage,
    differences,
    direct_interfaces,
    wanted_links,
    wanted_templates,
)

TESTBED = parse_testbed(
    """\
name: ring
nodes: {"0001": {}, "0a12": {arch: i386, position: [41.389, 2.112]}, "0003": {}}
links: [{between: ["0001", "0a12"], delay: 5ms, backward: {rate: 1mbit}}]
segments: [{name: roof, members: ["0001", "0003", "0a12"]}]
controller: {}
""",
    "ring.yaml",
)
NUMBERS = number(TESTBED, None)
TEMPLATE = TemplateImage(
    name="sliver-debian", arch="amd64", kind="debian", file=Path("/images/t"), sha256="ab"
)
NOTHING = Registry(groups=[], nodes=[], templates=[], links=[])


@dataclass
class FakeApi:
    """A registry in memory: it keeps what it is sent."""

    rows: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {"groups": [], "nodes": [], "templates": []}
    )
    links: list[dict[str, Any]] = field(default_factory=list)
    uploads: list[str] = field(default_factory=list)

    def get(self, uri: str) -> Any:
        if uri == "/map/network.json":
            return {"links": self.links}
        return self.rows[uri.split("/")[2]]

    def send(self, method: str, uri: str, document: Any = None) -> Any:
        if uri == "/map/network.json":
            self.links = document["links"]
            return None
        kind = uri.split("/")[2]
        rows = self.rows[kind]
        if method == "PATCH":
            next(row for row in rows if row["uri"] == uri).update(document)
            return None
        number = document.get("id", len(rows) + 1)
        rows.append({"id": number, "uri": f"/api/{kind}/{number}/", **document})
        return rows[-1]

    def upload(self, uri: str, file: Path, name: str) -> Any:
        self.uploads.append(name)
        row = next(row for row in self.rows["templates"] if uri.startswith(row["uri"]))
        row["image_sha256"] = TEMPLATE.sha256

    @property
    def seen(self) -> Registry:
        rows = self.rows
        return Registry(
            groups=rows["groups"],
            nodes=rows["nodes"],
            templates=rows["templates"],
            links=self.links,
        )


def tell(api: FakeApi, testbed: Testbed = TESTBED, numbers: Numbers = NUMBERS) -> list[str]:
    """Do all that differs; what it was, in words."""
    changes: list[Change] = differences(api.seen, testbed, numbers, [TEMPLATE])
    for change in changes:
        change.do(api)  # type: ignore[arg-type]
    return [change.words for change in changes]


@pytest.fixture
def api() -> FakeApi:
    """A registry that knows the testbed."""
    found = FakeApi()
    tell(found)
    return found


def test_it_works() -> None:
    api = FakeApi()
    assert tell(api) == [
        "add group vct",
        "add node 0001",
        "add node 0003",
        "add node 0a12",
        "set 4 links",
        "add template sliver-debian",
    ]
    assert tell(api) == []


def test_nodes_have_the_ids_and_interfaces_of_the_testbed(api: FakeApi) -> None:
    nodes = {node["id"]: node for node in api.rows["nodes"]}
    assert sorted(nodes) == [1, 3, 0x0A12]
    assert nodes[0x0A12]["name"] == "rd0a12"
    assert nodes[0x0A12]["arch"] == "i686"
    assert nodes[0x0A12]["direct_ifaces"] == ["eth1", "eth2"]
    assert nodes[0x0A12]["properties"] == {"latitude": "41.389", "longitude": "2.112"}
    assert nodes[0x0A12]["group"] == {"uri": "/api/groups/1/"}
    assert nodes[3]["direct_ifaces"] == direct_interfaces(NUMBERS, "0003") == ["eth1"]


def test_what_people_changed_stays(api: FakeApi) -> None:
    node = api.rows["nodes"][0]
    node |= {"name": "roof", "set_state": "safe", "properties": {"owner": "Alice"}}
    api.rows["groups"][0]["description"] = "ours"
    api.rows["groups"].append({"name": "theirs", "uri": "/api/groups/2/"})
    assert tell(api) == []


def test_what_the_file_says_is_put_right_and_nothing_else(api: FakeApi) -> None:
    node = api.rows["nodes"][2]
    node |= {"direct_ifaces": ["eth7"], "properties": {"owner": "Bob"}}
    assert tell(api) == ["change node 0a12: direct_ifaces, properties"]
    assert node["direct_ifaces"] == ["eth1", "eth2"]
    assert node["properties"] == {"owner": "Bob", "latitude": "41.389", "longitude": "2.112"}


def test_a_node_that_left_the_file_stays_registered(api: FakeApi) -> None:
    text = 'name: ring\nnodes: {"0001": {}}\ncontroller: {}'
    smaller = parse_testbed(text, "ring.yaml")
    assert tell(api, smaller, number(smaller, None)) == [
        "change node 0001: direct_ifaces",
        "set 0 links",
    ]
    assert len(api.rows["nodes"]) == 3


def test_links_have_no_direction_and_a_segment_joins_each_two(api: FakeApi) -> None:
    links = wanted_links(TESTBED)
    assert links[0]["properties"] == {
        "name": "0001-0a12",
        "forward": str(TESTBED.links[0].forward),
        "backward": str(TESTBED.links[0].backward),
    }
    roof = [(one["source"], one["target"]) for one in links[1:]]
    assert roof == [("0001", "0003"), ("0001", "0a12"), ("0003", "0a12")]
    for link in api.links:
        link["source"], link["target"] = link["target"], link["source"]
    assert tell(api) == []


def test_a_template_that_was_built_anew_is_uploaded_again(api: FakeApi) -> None:
    assert api.uploads == ["sliver-debian.squashfs"]
    api.rows["templates"][0]["image_sha256"] = "old"
    assert tell(api) == ["upload template sliver-debian"]
    assert len(api.uploads) == 2


# --- templates of the store ----------------------------------------------------------------------


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Images that are built: name to kind, for amd64 only."""
    built = {"sliver-debian": "sliver-template", "node-debian": "node"}

    def find(_images: Path, name: str, arch: str) -> Any:
        if name not in built or arch != "amd64":
            raise store.NoImageError(f"image {name} for {arch} is not built")
        return SimpleNamespace(
            name=name, arch=arch, manifest={"kind": built[name]}, format="squashfs", path=Path("/i")
        )

    monkeypatch.setattr(store, "find_image", find)
    monkeypatch.setattr(record, "read", lambda _image: {"tree": "ab"})
    return built


def asking_for(templates: str) -> Testbed:
    text = f'name: ring\nnodes: {{"0001": {{}}}}\ncontroller: {{{templates}}}'
    return parse_testbed(text, "ring.yaml")


def test_the_small_debian_is_registered_if_it_is_built(images: dict[str, str]) -> None:
    (found,) = wanted_templates(Home(), asking_for(""))
    assert (found.name, found.kind, found.sha256) == ("sliver-debian", "debian", "ab")
    images.clear()
    assert wanted_templates(Home(), asking_for("")) == []
    assert wanted_templates(Home(), asking_for("templates: []")) == []


def test_what_the_file_names_must_be_there(images: dict[str, str]) -> None:
    with pytest.raises(store.NoImageError, match="sliver-mine for amd64"):
        wanted_templates(Home(), asking_for("templates: [sliver-mine]"))
    with pytest.raises(RefusedError, match="node-debian is no sliver template"):
        wanted_templates(Home(), asking_for("templates: [node-debian]"))


def test_templates_are_for_the_architectures_of_the_nodes(images: dict[str, str]) -> None:
    assert [one.arch for one in wanted_templates(Home(), TESTBED)] == ["amd64"]
