"""What people do with confine-orm beyond its own tests, in a process of its own as `orm_runner`.

    python -m tests.controller_slow.orm_story results.json

Makes one of each kind, changes and saves every object of every list. The results are a JSON object:
which members each kind's objects had changed after that, and what became of a slice.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.controller_slow.orm_runner import as_python_2

KINDS = (
    *("groups", "hosts", "islands", "gateways", "nodes"),
    *("slices", "slivers", "templates", "users"),
)
NOTE = "changed by the library"


def main(results: Path) -> None:
    as_python_2()
    api: Any = importlib.import_module("orm.api").Api(os.environ["CONFINE_SERVER_API"])
    api.login(os.environ["CONFINE_USER"], os.environ["CONFINE_PASSWORD"])
    slice_ = make(api)
    changed = {kind: [saved(one) for one in getattr(api, kind).retrieve()] for kind in KINDS}
    slice_.retrieve()
    slice_.set_state = "start"
    slice_.save()
    slice_.retrieve()
    results.write_text(json.dumps({"changed": changed, "state": slice_.set_state}))


def make(api: Any) -> Any:
    """A slice with a sliver, and what else there is only one of."""
    group, template = api.groups.retrieve()[0], api.templates.retrieve()[0]
    node = api.nodes.create(name="second", group=group, arch="i686")
    slice_ = api.slices.create(name="first try", group=group, template=template)
    private = {"name": "priv", "type": "private", "nr": 0}
    slice_.slivers.create(node=node, interfaces=[private])
    api.hosts.create(name="laptop")
    api.islands.create(name="hill")
    api.gateways.create(description="of the hill")
    return slice_


def saved(thing: Any) -> list[str]:
    """The names of the members that are different after a change of the description."""
    thing.retrieve()
    before = thing.serialize()
    thing.description = NOTE
    thing.save()
    thing.retrieve()
    after = thing.serialize()
    return sorted(name for name in before.keys() | after if before.get(name) != after.get(name))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
