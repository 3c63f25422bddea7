"""A registry on loopback and a node that is one of its."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.a_node import ARCH, ANode, a_config
from tests.agent.a_registry import ARegistry, a_registry


@pytest.fixture
def registry() -> Iterator[ARegistry]:
    with a_registry() as found:
        found.populate(arch=ARCH)
        yield found


@pytest.fixture
def node(registry: ARegistry, tmp_path: Path) -> ANode:
    return ANode(tmp_path, a_config(registry.base))
