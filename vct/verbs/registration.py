"""What a testbed's controller should know of it, and how it comes to know: through its REST API.

Wanted, seen, differences, done; a second time there is nothing to do. What people changed in the
registry (names, descriptions, groups, states) stays: only what the testbed file says is written.
Nodes that left the file stay in the registry, as slivers may belong to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vct import names
from vct.build import record, store
from vct.drivers.controller_api import Api
from vct.errors import RefusedError
from vct.model.testbed import Node, Testbed
from vct.paths import Home
from vct.plan.wanted import Numbers

GROUP = "vct"
MACHINES = {"amd64": "x86_64", "i386": "i686"}  # by the words of uname -m
TEMPLATE_NAME_MAX = 32
USUAL_TEMPLATES = ("sliver-debian",)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateImage:
    """A sliver template that is built. `kind` is the system that a node prepares slivers for."""

    name: str
    arch: str
    kind: str
    file: Path
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """What a controller has: whole objects, as its API gives them; `states` are those of nodes as
    it last heard, by id (`0001`)."""

    groups: Sequence[Json]
    nodes: Sequence[Json]
    templates: Sequence[Json]
    links: Sequence[Json]
    states: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that the controller is told. `words` are for people: `add node 0001`."""

    words: str
    do: Callable[[Api], None]


def register(
    api: Api,
    testbed: Testbed,
    numbers: Numbers,
    templates: Sequence[TemplateImage],
    on_change: Callable[[str], None] = lambda _words: None,
) -> tuple[list[str], Registry]:
    """Bring the registry to what the testbed is; what was told, in words, and how it is now."""
    seen, done = look(api), []
    for change in differences(seen, testbed, numbers, templates):
        on_change(change.words)
        change.do(api)
        done.append(change.words)
    return done, look(api) if done else seen


def look(api: Api) -> Registry:
    """All that matters here, in four requests."""
    network = api.get("/map/network.json")
    return Registry(
        groups=api.get("/api/groups/"),
        nodes=api.get("/api/nodes/"),
        templates=api.get("/api/templates/"),
        links=network.get("links", []),
        states={one["id"]: one["properties"]["state"] for one in network.get("nodes", [])},
    )


def differences(
    seen: Registry, testbed: Testbed, numbers: Numbers, templates: Sequence[TemplateImage]
) -> list[Change]:
    """What has to be told, in an order in which it can be."""
    changes = []
    group = {str(one["name"]): str(one["uri"]) for one in seen.groups}
    if GROUP not in group:
        changes.append(Change(words=f"add group {GROUP}", do=_add_group(group)))
    known = {int(node["id"]): node for node in seen.nodes}
    for node in testbed.nodes:
        interfaces = direct_interfaces(numbers, node.id)
        seen_node = known.get(names.node_number(node.id))
        changes += _node_changes(node, interfaces, testbed.management.backend, seen_node, group)
    links = wanted_links(testbed)
    if _plain_links(links) != _plain_links(seen.links):
        graph = {"type": "NetworkGraph", "protocol": "static", "version": None, "metric": None}
        document = {**graph, "nodes": [], "links": links}
        changes.append(Change(words=f"set {len(links)} links", do=_put_links(document)))
    uploaded = {str(template["name"]): template for template in seen.templates}
    for image in templates:
        changes += _template_changes(image, uploaded.get(image.name))
    return changes


# --- group, nodes --------------------------------------------------------------------------------


def _add_group(uris: dict[str, str]) -> Callable[[Api], None]:
    """Its URI is put among the others', for the nodes that come after it."""

    def do(api: Api) -> None:
        about = "Made by vct init: owns the testbed's nodes."
        may = {"allow_nodes": True, "allow_slices": True}
        made = api.send("POST", "/api/groups/", {"name": GROUP, "description": about, **may})
        uris[GROUP] = str(made["uri"])

    return do


def direct_interfaces(numbers: Numbers, node: str) -> list[str]:
    """`eth1`, `eth2`, …: what the node has."""
    return [names.direct_interface(n) for n in sorted(numbers.interfaces.get(node, {}).values())]


def _node_changes(
    node: Node, interfaces: list[str], backend: str, seen: Json | None, groups: Mapping[str, str]
) -> Iterator[Change]:
    body: Json = {"arch": MACHINES[node.arch], "direct_ifaces": interfaces}
    place = position(node)
    if seen is None:
        more = {
            "id": names.node_number(node.id),
            "name": names.hostname(node.id),
            "mgmt_net": {"backend": backend},
            "properties": place,
        }
        yield Change(words=f"add node {node.id}", do=_add_node(body | more, groups))
        return
    if place.items() - seen.get("properties", {}).items():
        body["properties"] = {**seen.get("properties", {}), **place}
    new = {key: value for key, value in body.items() if not _same(value, seen.get(key))}
    if new:
        words = f"change node {node.id}: {', '.join(sorted(new))}"
        yield Change(words=words, do=_patch(seen["uri"], new))


def position(node: Node) -> dict[str, str]:
    """Where it is on the map, as properties; empty without a position."""
    if node.position is None:
        return {}
    latitude, longitude = node.position
    return {"latitude": str(latitude), "longitude": str(longitude)}


def _same(wanted: Any, seen: Any) -> bool:
    if isinstance(wanted, list) and isinstance(seen, list):
        return sorted(wanted) == sorted(seen)
    return bool(wanted == seen)


def _add_node(body: Json, groups: Mapping[str, str]) -> Callable[[Api], None]:
    def do(api: Api) -> None:
        api.send("POST", "/api/nodes/", body | {"group": {"uri": groups[GROUP]}})

    return do


def _patch(uri: str, body: Json) -> Callable[[Api], None]:
    def do(api: Api) -> None:
        api.send("PATCH", uri, body)

    return do


# --- links ---------------------------------------------------------------------------------------


def wanted_links(testbed: Testbed) -> list[Json]:
    """NetJSON links between node ids; a segment joins each two of its members."""
    found = [_link(link.a, link.b, {"name": link.name, **_quality(link)}) for link in testbed.links]
    for segment in testbed.segments:
        for index, one in enumerate(segment.members):
            for other in segment.members[index + 1 :]:
                found.append(_link(one, other, {"segment": segment.name}))
    return found


def _link(source: str, target: str, properties: dict[str, str]) -> Json:
    return {"source": source, "target": target, "cost": 1.0, "properties": properties}


def _quality(link: Any) -> dict[str, str]:
    if link.forward == link.backward:
        return {"quality": str(link.forward)}
    return {"forward": str(link.forward), "backward": str(link.backward)}


def _plain_links(links: Sequence[Json]) -> list[Any]:
    """What counts in a comparison. A link has no direction to the registry."""
    return sorted(
        (*sorted((str(one["source"]), str(one["target"]))), sorted(one["properties"].items()))
        for one in links
    )


def _put_links(document: Json) -> Callable[[Api], None]:
    def do(api: Api) -> None:
        api.send("PUT", "/map/network.json", document)

    return do


# --- templates -----------------------------------------------------------------------------------


def wanted_templates(home: Home, testbed: Testbed) -> list[TemplateImage]:
    """The testbed's sliver templates, for the architectures of its nodes.

    Raises VctError for one that the file names and that is not built.
    """
    asked = testbed.controller.templates if testbed.controller else ()
    found = []
    for name in USUAL_TEMPLATES if asked is None else asked:
        for arch in sorted({node.arch for node in testbed.nodes}):
            try:
                found.append(_template(store.find_image(home.images, name, arch)))
            except store.NoImageError:
                if asked is not None:
                    raise
    return found


def _template(image: store.Image) -> TemplateImage:
    if image.manifest.get("kind") != "sliver-template" or image.format != store.SQUASHFS:
        raise RefusedError(
            f"image {image.name} is no sliver template in one file",
            hint="see: vct image list; name others in the testbed file (controller: templates:)",
        )
    registered = image.name if image.arch == "amd64" else f"{image.name}-{image.arch}"
    return TemplateImage(
        name=registered[:TEMPLATE_NAME_MAX],
        arch=image.arch,
        kind="openwrt" if "openwrt" in image.name else "debian",
        file=image.path,
        sha256=str(record.read(image).get("tree", "")),
    )


def _template_changes(image: TemplateImage, seen: Mapping[str, Any] | None) -> Iterator[Change]:
    if seen is None:
        yield Change(words=f"add template {image.name}", do=_add_template(image))
    elif seen.get("image_sha256") != image.sha256:
        yield Change(words=f"upload template {image.name}", do=_upload(seen["uri"], image))


def _add_template(image: TemplateImage) -> Callable[[Api], None]:
    def do(api: Api) -> None:
        made = api.send(
            "POST",
            "/api/templates/",
            {
                "name": image.name,
                "description": "Uploaded by vct init.",
                "type": image.kind,
                "node_archs": [MACHINES[image.arch]],
            },
        )
        _upload(made["uri"], image)(api)

    return do


def _upload(uri: str, image: TemplateImage) -> Callable[[Api], None]:
    def do(api: Api) -> None:
        api.upload(f"{uri}ctl/upload-image/", image.file, f"{image.name}.squashfs")

    return do
