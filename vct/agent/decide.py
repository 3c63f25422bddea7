"""What a node shall be and do, from its orders, what it sees and what it remembers. Pure.

The rules of the original's node states, less their faults: a wrong order is told and keeps the
node from work, but takes nothing away from what runs; a counter that goes down reboots nobody.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from vct.agent.kept import Kept
from vct.agent.orders import Json, NodeOrders, Orders, read_node, wrong
from vct.agent.problems import Fault, Problem, RegistryError, told
from vct.agent.seen import Seen
from vct.wire.firmware import NodeConfig
from vct.wire.limits import RESOURCES
from vct.wire.states import NodeState

RESERVED_MEMORY_PERCENT = 25  # of the node's, never a sliver's
RESERVED_DISK_MIB = 500
ENROL = "if this is the right node, enrol it again: vct init"


@dataclass(frozen=True)
class Decision:
    """`kept` is what to remember before anything is done, `reboot` whether to begin anew then."""

    kept: Kept
    problems: tuple[Problem, ...] = ()
    reboot: bool = False

    @property
    def state(self) -> str:
        return self.kept.state


def without_orders(kept: Kept, error: RegistryError) -> Decision:
    """Nothing could be asked. The node stays what it is, unless it is told to be nobody.

    A node in debug is shown as safe: whether what was wrong still is, is not known.
    """
    gone = error.fault is Fault.GONE
    state = kept.state
    if gone:
        state = NodeState.DEBUG
    elif state in ("", NodeState.DEBUG):
        state = NodeState.SAFE
    return Decision(replace(kept, state=str(state)), (told(error, "", grave=gone),))


def decide(config: NodeConfig, orders: Orders, seen: Seen, kept: Kept) -> Decision:
    """What follows from whole orders."""
    wanted = read_node(orders.node)
    problems = [
        *_strangers(config, orders.node, seen),
        *wanted.problems,
        *_missing(wanted.direct_ifaces, seen),
    ]
    limits, too_much = allowed(config, wanted.limits)
    problems += too_much
    grave = any(problem.grave for problem in problems)
    state = NodeState.DEBUG if grave else NodeState(wanted.set_state)
    stranger = any(problem.member in _IDENTITY for problem in problems)
    after = replace(kept, state=str(state))
    if stranger:  # these are another node's orders
        return Decision(after, (*problems, *orders.problems))
    if not grave:
        after = replace(after, direct_ifaces=wanted.direct_ifaces, limits=limits)
    after, reboot = _boot(after, wanted, seen)
    return Decision(after, (*problems, *orders.problems), reboot)


def without_firmware(kept: Kept) -> Kept:
    """A node that does not know who it is."""
    return replace(kept, state=str(NodeState.DEBUG))


_IDENTITY = ("/id", "/arch", "/tinc/pubkey", "/api/cert")


def _strangers(config: NodeConfig, node: Json, seen: Seen) -> Iterable[Problem]:
    """Two nodes with one id, an old copy of a node, another database: not this node's orders."""
    if node.get("id") != config.node.id:
        words = f"the registry has {node.get('id')!r}, this is node {config.node.id}"
        yield wrong("/id", words, hint=ENROL)
    if node.get("arch") != seen.arch:
        words = f"the registry has {node.get('arch')!r}, this machine is {seen.arch}"
        yield wrong("/arch", words, hint="correct it in the controller, or use the other image")
    tinc, api = node.get("tinc"), node.get("api")
    registered = tinc.get("pubkey") if isinstance(tinc, dict) else None
    if registered and seen.tinc_key and not _same_pem(registered, seen.tinc_key):
        words = "the registry has another tinc key for this id: two nodes have it, or an old copy"
        yield wrong("/tinc/pubkey", words, hint=ENROL)
    registered = api.get("cert") if isinstance(api, dict) else None
    if registered and seen.cert and not _same_pem(registered, seen.cert):
        words = (
            "the registry has another certificate for this id: two nodes have it, or an old copy"
        )
        yield wrong("/api/cert", words, hint=ENROL)


def _same_pem(one: object, other: str) -> bool:
    """Whether two PEM texts hold the same. An RSA key may be wrapped: its end is the same then."""
    first, second = _content(one), _content(other)
    return bool(first and second) and (first.endswith(second) or second.endswith(first))


def _content(pem: object) -> bytes:
    lines = pem.strip().splitlines() if isinstance(pem, str) else []
    try:
        return b64decode("".join(line.strip() for line in lines if not line.startswith("-----")))
    except ValueError:
        return b""


def _missing(names: Iterable[str], seen: Seen) -> Iterable[Problem]:
    for name in names:
        if name not in seen.interfaces:
            yield wrong(
                "/direct_ifaces",
                f"this node has no interface {name}",
                hint="give it one in the testbed file, or take it off the list in the controller",
            )


def allowed(
    config: NodeConfig, limits: Mapping[str, tuple[int, int]]
) -> tuple[dict[str, tuple[int, int]], list[Problem]]:
    """The limits that hold, and what was ordered that no node can give."""
    found, problems = offered(config), list[Problem]()
    for name, (most, usual) in limits.items():
        kind, member = RESOURCES[name], f"/resources/{name}"
        usual_most = most if kind.requestable else 0
        if most > kind.ceiling:
            problems.append(wrong(member, f"max_req {most} is above {kind.ceiling}"))
        elif usual > usual_most:
            problems.append(wrong(member, f"dflt_req {usual} is above {usual_most}"))
        elif not kind.requestable and most > found[name][0]:
            words = f"max_req is {most}, a sliver of this node can have {found[name][0]}"
            problems.append(replace(wrong(member, words), grave=False))
        else:
            found[name] = (most, usual)
    return found, problems


def offered(config: NodeConfig) -> dict[str, tuple[int, int]]:
    """Most and usual amount of one sliver that a node has by itself."""
    found = {name: (kind.max_req, kind.dflt_req) for name, kind in RESOURCES.items()}
    found["pub_ipv4"] = (min(1, public_ipv4(config)), 0)
    found["pub_ipv6"] = (0, 0)
    return found


def public_ipv4(config: NodeConfig) -> int:
    """How many public addresses the node has for slivers: N of `#N` or `BASE#N`."""
    count = config.node.sliver_pub_ipv4_range.rpartition("#")[2]
    has = config.node.sliver_pub_ipv4 != "none" and count.isascii() and count.isdigit()
    return int(count[:6]) if has else 0


def _boot(kept: Kept, wanted: NodeOrders, seen: Seen) -> tuple[Kept, bool]:
    """Whether a reboot is due: the counter went up since it was obeyed last.

    What is remembered first is the boot that shall end. While that goes on, as the agent was killed
    before it could reboot, the reboot is still due; in the next boot it is done. The first counter
    that a node meets is the one it begins with.
    """
    if kept.rebooting and kept.rebooting == seen.boot:
        return kept, True
    kept = replace(kept, rebooting="")
    if wanted.boot_sn is None or wanted.boot_sn == kept.boot_sn:
        return kept, False
    up = kept.boot_sn is not None and wanted.boot_sn > kept.boot_sn
    mark = seen.boot if up else ""
    return replace(kept, boot_sn=wanted.boot_sn, rebooting=mark), up
