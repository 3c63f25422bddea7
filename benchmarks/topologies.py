"""Testbed files for benchmarks, as text: rings and meshes of unshaped links. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice


def node_ids(count: int) -> list[str]:
    """Ids of so many nodes: 0001, 0002, …"""
    return [f"{number:04x}" for number in range(1, count + 1)]


def chords(count: int) -> Iterator[tuple[str, str]]:
    """Pairs of neighbours: a ring first, then rings of ever longer steps, each pair once."""
    ids = node_ids(count)
    for step in range(1, count // 2 + 1):
        # Half-way round, each pair would come a second time from its other end.
        for start in range(count // 2 if 2 * step == count else count):
            yield ids[start], ids[(start + step) % count]


def mesh(name: str, count: int, links: int) -> str:
    """A testbed file of `count` nodes and `links` links. JSON, which is YAML too."""
    pairs = list(islice(chords(count), links))
    if len(pairs) < links:
        raise ValueError(f"{count} nodes have no {links} pairs")
    document = {
        "name": name,
        "nodes": {node: {} for node in node_ids(count)},
        "links": [{"between": pair} for pair in pairs],
    }
    return json.dumps(document)


def ring(name: str, count: int) -> str:
    """A testbed file of `count` nodes in a ring."""
    return mesh(name, count, count)
