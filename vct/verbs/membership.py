"""How nodes stand with their controller: what it says of them, what they say themselves, and why.

Nodes are asked from the controller's namespace, which is in the management network. Called by
`init` (which waits until all are what they are told to be), `status` and `node info`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from vct import names
from vct.drivers import echo, node_probe
from vct.drivers.controller_api import Api, ControllerError
from vct.drivers.firmware_files import reread_inittab
from vct.drivers.node_probe import Answer
from vct.errors import InterruptedByUser, NotReadyError
from vct.model.testbed import Node, Testbed
from vct.paths import TestbedPaths
from vct.report.status import ConfineStatus
from vct.verbs.controller import Registered
from vct.wire.advice import Advice, Seen, advise, errors_of
from vct.wire.states import NodeSetState, NodeState

WORKING = (NodeSetState.SAFE, NodeSetState.PRODUCTION)
FIRST_LOOK_S = 0.5
CONTROLLER_S = 3.0

Heard = Mapping[str, Mapping[str, Any]]
"""By node: `state` and `set_state` as the controller's map has them."""


def hear(url: str) -> Heard:
    """What the controller says of its nodes; nothing of any if it does not answer."""
    try:
        network = Api(base=url, timeout_s=CONTROLLER_S).get("/map/network.json")
        return {str(one["id"]): one["properties"] for one in network["nodes"]}
    except (ControllerError, KeyError, TypeError):
        return {}


def ask(testbed: Testbed, nodes: Collection[str], timeout_s: float = 1.0) -> dict[str, Answer]:
    """What nodes themselves say, over the management network."""
    addresses = {node: str(names.management_ipv6(node)) for node in nodes}
    return node_probe.ask(names.controller_namespace(testbed.name), addresses, timeout_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """All that was seen of one node: what the controller `heard`, what it answered; whether it has
    firmware, whether its container runs, whether it answers on the local network."""

    heard: Mapping[str, Any]
    answer: Answer
    enrolled: bool = True
    running: bool = True
    local: bool = True

    @property
    def said(self) -> Mapping[str, Any]:
        return self.answer.document or {}

    @property
    def set_state(self) -> str:
        return str(self.heard.get("set_state") or self.said.get("set_state") or "")

    @property
    def known(self) -> str:
        return str(self.heard.get("state") or "")


def members(
    paths: TestbedPaths,
    testbed: Testbed,
    url: str,
    running: Collection[str],
    silent: Collection[str],
) -> dict[str, ConfineStatus]:
    """How each node stands. `running` are those whose containers run, `silent` those of them that
    do not answer on the local network."""
    heard = hear(url)
    answers = ask(testbed, running) if running else {}
    down = Answer(seen="it does not run")
    return {
        node.id: member(
            testbed,
            node,
            Look(
                heard=heard.get(node.id, {}),
                answer=answers.get(node.id, down),
                enrolled=paths.node(node.id).confine.config.exists(),
                running=node.id in running,
                local=node.id in running and node.id not in silent,
            ),
        )
        for node in testbed.nodes
    }


def member(testbed: Testbed, node: Node, look: Look) -> ConfineStatus:
    """How a node stands, by what was seen of it."""
    advice, errors = _advice(node.id, look), errors_of(look.said)
    return ConfineStatus(
        address=str(names.management_ipv6(node.id)),
        backend=testbed.management.backend,
        gateway=node.gateway,
        reachable=look.answer.reachable,
        rtt_ms=look.answer.rtt_ms,
        set_state=look.set_state,
        state=state_of(look.answer),
        known=look.known,
        sentence=advice.sentence,
        next_step=advice.next_step,
        errors=tuple(f"{place}: {message}" if place else message for place, message in errors),
    )


def _advice(node: str, look: Look) -> Advice:
    if not look.enrolled:
        words = "The node has no firmware: it was never enrolled in the controller."
        return Advice(sentence=words, next_step=f"vct node create {node}")
    if not look.heard and not look.said and look.running:
        words = "Neither the controller nor the node says what state it is in."
        return Advice(sentence=words, next_step="vct controller status")
    # What the controller heard of a node that is silent now may be old.
    silent = look.known if look.known == NodeState.CRASHED else NodeState.OFFLINE
    return advise(
        Seen(
            name=node,
            set_state=look.set_state,
            state=state_of(look.answer) or silent,
            container=look.running,
            management=look.answer.reachable,
            local=look.local,
            errors=errors_of(look.said),
            exception=look.answer.seen,
        )
    )


def ping_members(testbed: Testbed) -> list[dict[str, Any]]:
    """The round trip from the controller to each node's management address; `rtt_ms` or None."""
    addresses = {node.id: str(names.management_ipv6(node.id)) for node in testbed.nodes}
    trips = echo.ping(names.controller_namespace(testbed.name), addresses.values())
    return [
        {"node": node, "address": address, "rtt_ms": trips.get(address)}
        for node, address in addresses.items()
    ]


# --- waiting -------------------------------------------------------------------------------------


def wait_members(
    paths: TestbedPaths,
    testbed: Testbed,
    registered: Registered,
    timeout_s: float,
    on_ready: Callable[[str], None] = lambda _node: None,
) -> dict[str, str]:
    """Wait until each node says that it is what it is told to be; the states of the enrolled.

    Not waited for: nodes that are to be in failure, and those that could not be enrolled. Those
    that the controller heard to be right, and of which nothing was told, are not asked again.
    Raises NotReadyError with why the others are not there.
    """
    enrolled = registered.enrolled
    orders = {
        node: order
        for node, order in enrolled.orders.items()
        if order in WORKING
        and node not in enrolled.left_out
        and (node in enrolled.changed or registered.states.get(node) != order)
    }
    try:
        answers = _watch(paths, testbed, orders, timeout_s, on_ready)
    except KeyboardInterrupt:
        raise InterruptedByUser(
            "interrupted while waiting for nodes; they go on",
            hint="look: vct status\nstop them: vct cleanup",
        ) from None
    late = {node: answers[node] for node in orders if state_of(answers[node]) != orders[node]}
    if late:
        raise _not_there(testbed, hear(registered.url), late, timeout_s)
    return {node: order for node, order in enrolled.orders.items() if node not in enrolled.left_out}


def _watch(
    paths: TestbedPaths,
    testbed: Testbed,
    orders: Mapping[str, str],
    timeout_s: float,
    on_ready: Callable[[str], None],
) -> dict[str, Answer]:
    """The last answers of nodes, once all are in these states or the time is over."""
    addresses = {node: str(names.management_ipv6(node)) for node in orders}
    namespace = names.controller_namespace(testbed.name)

    def enough(node: str, answer: Answer) -> bool:
        there = state_of(answer) == orders[node]
        if there:
            on_ready(node)
        return there

    answers = node_probe.watch(namespace, addresses, enough, min(FIRST_LOOK_S, timeout_s))
    late = sorted(node for node in orders if state_of(answers[node]) != orders[node])
    for node in late:  # a vct that was killed may not have woken it
        if not answers[node].reachable:
            reread_inittab(paths, node)
    rest = {node: addresses[node] for node in late}
    return answers | node_probe.watch(namespace, rest, enough, timeout_s)


def state_of(answer: Answer) -> str:
    """The state that a node published, empty without one."""
    return str((answer.document or {}).get("state") or "")


def _not_there(
    testbed: Testbed, heard: Heard, late: Mapping[str, Answer], timeout_s: float
) -> NotReadyError:
    seen = {}
    for node in testbed.nodes:
        if node.id in late:
            look = Look(heard=heard.get(node.id, {}), answer=late[node.id])
            found = member(testbed, node, look)
            said = found.state or found.known or "no state"
            lines = [f"{said}, told {found.set_state or 'nothing'}: {found.sentence}"]
            lines += [f"next: {found.next_step}"] * bool(found.next_step)
            seen[node.id] = "\n".join(lines)
    count = f"{len(late)} of {len(testbed.nodes)} nodes"
    return NotReadyError(
        f"{count} are not what they are told to be after {timeout_s:g} s: "
        f"{names.render_node_set(late)}",
        seen=seen,
        hint=f"look: vct node info {names.render_node_set(late)}",
    )
