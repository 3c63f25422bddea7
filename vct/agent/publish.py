"""What the cycles hand to the API: the documents that the node publishes, replaced as a whole.

The thread of the cycles replaces, the threads of the API read; what a reader has got never changes
under it. Addresses in the documents are those of the node's own base: the API puts in the caller's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any] | list[Any]
Links = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Document:
    """One resource. `links` are (relation, URI), `modified` is when it became so (epoch)."""

    body: Body
    links: Links = ()
    modified: float = 0.0


@dataclass(frozen=True)
class Tree:
    """All that is published at one time. Paths are below the API's base: `/node/`.

    `base` is the node's own base without a slash at its end, `registry` the registry's, and
    `hidden` are the states of slivers that exist while their documents must not be shown, by path.
    """

    documents: Mapping[str, Document] = field(default_factory=dict)
    state: str = ""
    base: str = ""
    registry: str = ""
    hidden: Mapping[str, str] = field(default_factory=dict)


class Published:
    """Holds the tree that holds now. One attribute, set at once: readers need no lock."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._tree = Tree()

    @property
    def tree(self) -> Tree:
        return self._tree

    def replace(self, tree: Tree) -> None:
        """From now on this is so. A document that says what it said keeps its date."""
        now, before = self._clock(), self._tree.documents
        documents = {}
        for path, document in tree.documents.items():
            old = before.get(path)
            same = old is not None and (old.body, old.links) == (document.body, document.links)
            modified = old.modified if old is not None and same else now
            documents[path] = Document(document.body, document.links, modified)
        self._tree = Tree(documents, tree.state, tree.base, tree.registry, tree.hidden)
