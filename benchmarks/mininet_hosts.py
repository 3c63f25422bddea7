"""Makes hosts and links with Mininet's Debian package and prints how long it took, as JSON.

Started by benchmarks.links as a process of its own. What it made goes by its own objects' stop;
Mininet's `mn -c` ends processes and deletes interfaces by name pattern, so it is not used.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any


def main() -> None:
    """From stdin: `prefix` of host names, `addresses` by host, `pairs` of hosts."""
    wanted = json.load(sys.stdin)
    node: Any = importlib.import_module("mininet.node").Node
    link: Any = importlib.import_module("mininet.link").Link
    hosts: dict[str, Any] = {}
    try:
        begun = time.perf_counter()
        for name in wanted["addresses"]:
            hosts[name] = node(f"{wanted['prefix']}{name}")
        namespaces = time.perf_counter() - begun
        begun = time.perf_counter()
        for a, b in wanted["pairs"]:
            ends = [{"ip": f"{wanted['addresses'][name]}/24"} for name in (a, b)]
            link(hosts[a], hosts[b], params1=ends[0], params2=ends[1])
        links = time.perf_counter() - begun
    finally:
        for host in hosts.values():
            host.stop()
    print(json.dumps({"namespaces": namespaces, "links": links}))


if __name__ == "__main__":
    main()
