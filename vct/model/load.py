"""The model's door: testbed files to Testbed and back, and their JSON Schema for editors.

Called by the commands and by the pytest plugin; the only module of the model that opens a testbed
file.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from vct.errors import InputError
from vct.model.resolve import resolve_testbed
from vct.model.testbed import Controller, Link, Management, Node, Testbed
from vct.model.textfile import fingerprint, read_text
from vct.model.validate import validated
from vct.model.written import WrittenTestbed
from vct.model.yamltext import kind_of, parse_tree
from vct.names import check_testbed_name
from vct.quality import Quality, render_rate, render_share, render_time

EXAMPLE = (
    'begin with:\nname: ring\nnodes: {"0001": {}, "0002": {}}\nlinks: [{between: ["0001", "0002"]}]'
)


def load_testbed(file: Path, name: str | None = None) -> Testbed:
    """The testbed that a file describes; `name` overrides the file's.

    Raises InputError with file, line, column and key, UsageError for a `name` that is none.
    """
    return parse_testbed(read_text(file), str(file), name)


def parse_testbed(text: str, source: str, name: str | None = None) -> Testbed:
    """As load_testbed, from text; `source` is what messages call it."""
    override = {} if name is None else {"name": check_testbed_name(name)}
    tree = parse_tree(text, source)
    if tree is None or tree.value is None:
        raise InputError("has nothing in it", file=source, hint=EXAMPLE)
    if not isinstance(tree.value, dict):
        line, column = tree.place
        problem = f"must be a mapping, not {kind_of(tree.value)}"
        raise InputError(problem, file=source, line=line, column=column, hint=EXAMPLE)
    written = validated(WrittenTestbed, tree.value | override, tree, source)
    testbed = resolve_testbed(written, tree, source)
    return replace(testbed, fingerprint=fingerprint(text, name))


def testbed_document(testbed: Testbed) -> dict[str, object]:
    """A testbed file as a JSON-able value, with all defaults written out.

    Loading it (JSON is YAML) gives an equal testbed.
    """
    document: dict[str, object] = {
        "name": testbed.name,
        "nodes": {node.id: _node_document(node) for node in testbed.nodes},
        "links": [_link_document(link) for link in testbed.links],
        "segments": [
            {"name": segment.name, "members": list(segment.members)} for segment in testbed.segments
        ],
    }
    if testbed.controller:
        document["controller"] = _controller_document(testbed.controller)
        document["management"] = _management_document(testbed.management)
    return document


def testbed_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of testbed files, for editors."""
    schema = WrittenTestbed.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "vct testbed",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def _node_document(node: Node) -> dict[str, object]:
    document: dict[str, object] = {
        "image": node.image,
        "arch": node.arch,
        "memory": f"{node.memory_mib}MiB",
        "disk": f"{node.disk_mib}MiB",
        "boot": node.boot,
    }
    if node.position:
        document["position"] = list(node.position)
    if node.gateway:
        document["gateway"] = node.gateway
    return document


def _controller_document(controller: Controller) -> dict[str, object]:
    document: dict[str, object] = {
        "image": controller.image,
        "arch": controller.arch,
        "memory": f"{controller.memory_mib}MiB",
        "disk": f"{controller.disk_mib}MiB",
    }
    if controller.templates is not None:
        document["templates"] = list(controller.templates)
    return document


def _management_document(management: Management) -> dict[str, object]:
    return {"backend": management.backend, "gateways": list(management.gateways)}


def _link_document(link: Link) -> dict[str, object]:
    document: dict[str, object] = {"between": [link.a, link.b], "name": link.name}
    if link.forward == link.backward:
        return document | _quality_document(link.forward)
    ways = {"forward": link.forward, "backward": link.backward}
    return document | {way: _quality_document(quality) for way, quality in ways.items() if quality}


def _quality_document(quality: Quality) -> dict[str, object]:
    written = {
        "delay": render_time(quality.delay_us) if quality.delay_us else "",
        "jitter": render_time(quality.jitter_us) if quality.jitter_us else "",
        "loss": render_share(quality.loss_ppm) if quality.loss_ppm else "",
        "rate": render_rate(quality.rate_bps) if quality.rate_bps else "",
    }
    return {key: value for key, value in written.items() if value}
