"""What the registry wants of a node, checked: its documents become values, or say what is wrong.

Pure. Each reading is on its own, so that a fault in one document, or in one member that others do
not need, is told beside what could be read. `fetch` calls it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vct.agent.problems import Problem, sentence
from vct.agent.publish import Links
from vct.wire.limits import DIRECT_INTERFACE_NAME, RESOURCES
from vct.wire.states import NodeSetState, SliverSetState, effective_set_state

Json = dict[str, Any]
NUMBER_MAX = 1 << 53
HINT = "correct it in the controller"


@dataclass(frozen=True)
class User:
    """An administrator of the node: `tokens` are keys in their own forms."""

    id: int
    tokens: tuple[str, ...]


@dataclass(frozen=True)
class SliverOrders:
    """One sliver with what it is made of; a part that could not be had is None, and told."""

    pk: int
    sliver: Json
    links: Links = ()
    slice_: Json | None = None
    template: Json | None = None
    template_pk: int | None = None
    template_links: Links = ()
    problems: tuple[Problem, ...] = ()

    @property
    def set_state(self) -> str:
        """The lower of the slice's and the sliver's; what is missing or unknown does not count."""
        defaults = (self.slice_ or {}).get("sliver_defaults")
        own = self.sliver.get("set_state")
        if own is None and isinstance(defaults, dict):
            own = defaults.get("set_state")
        told = [_set_state(own), _set_state((self.slice_ or {}).get("set_state"))]
        known = [one for one in told if one is not None] or [SliverSetState.REGISTER]
        return str(effective_set_state(known[0], known[-1]))


@dataclass(frozen=True)
class Orders:
    """All that was fetched in one cycle.

    `admins` is None when the group or one of its users could not be had: then keys stay. `base` is
    None likewise. `slivers` are by the registry's own number.
    """

    node: Json
    links: Links = ()
    source: str = ""
    base: Json | None = None
    admins: tuple[User, ...] | None = None
    slivers: Mapping[int, SliverOrders] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class NodeOrders:
    """The members of the registry's node that the agent obeys, those that could be read."""

    set_state: str
    boot_sn: int | None
    direct_ifaces: tuple[str, ...]
    limits: Mapping[str, tuple[int, int]]
    problems: tuple[Problem, ...]


def read_node(node: Json) -> NodeOrders:
    """A set state that is missing or unknown is debug; every fault is a grave problem."""
    found: list[Problem] = []
    set_state = node.get("set_state")
    if not isinstance(set_state, str) or set_state not in set(NodeSetState):
        found.append(wrong("/set_state", f"{set_state!r} is no state of a node"))
        set_state = NodeSetState.DEBUG
    boot_sn = _number(node.get("boot_sn"))
    if boot_sn is None:
        found.append(wrong("/boot_sn", f"{node.get('boot_sn')!r} is no number"))
    return NodeOrders(
        set_state=str(set_state),
        boot_sn=boot_sn,
        direct_ifaces=_direct_ifaces(node.get("direct_ifaces"), found),
        limits=_limits(node.get("resources"), found),
        problems=tuple(found),
    )


def _direct_ifaces(names: object, found: list[Problem]) -> tuple[str, ...]:
    if names is None:
        return ()
    good = isinstance(names, list) and all(
        isinstance(name, str) and DIRECT_INTERFACE_NAME.fullmatch(name) for name in names
    )
    if not isinstance(names, list) or not good:
        found.append(wrong("/direct_ifaces", f"{names!r} are no names of interfaces"))
        return ()
    return tuple(dict.fromkeys(names))


def _limits(resources: object, found: list[Problem]) -> dict[str, tuple[int, int]]:
    """Most and usual amount of one sliver, by resource; those of unknown ones are left aside."""
    if resources is None:
        return {}
    if not isinstance(resources, list):
        found.append(wrong("/resources", f"{resources!r} is no list"))
        return {}
    limits = {}
    for one in resources:
        name = one.get("name") if isinstance(one, dict) else None
        if not isinstance(name, str):
            found.append(wrong("/resources", f"{one!r} is no resource"))
        elif name in RESOURCES:
            most, usual = _number(one.get("max_req")), _number(one.get("dflt_req"))
            if most is None or usual is None:
                found.append(wrong(f"/resources/{name}", f"{one!r} has no whole numbers"))
            else:
                limits[name] = (most, usual)
    return limits


def wrong(member: str, message: str, *, hint: str = HINT) -> Problem:
    """The registry orders what cannot be done."""
    return Problem(member, sentence(message, hint), grave=True)


def admin_uris(group: Json) -> tuple[str, ...]:
    """Where the users are that administer the node: the group's and the nodes' administrators.

    Raises ValueError for a group without a list of roles.
    """
    roles = group.get("user_roles")
    if not isinstance(roles, list):
        raise ValueError("the group has no list of roles")
    return tuple(
        reference(role.get("user"))
        for role in roles
        if isinstance(role, dict)
        and (role.get("is_group_admin") is True or role.get("is_node_admin") is True)
    )


def read_user(user: Json) -> User | None:
    """A user with keys, None for one who may not log in. Raises ValueError."""
    number, tokens = _number(user.get("id")), user.get("auth_tokens", [])
    if number is None or not isinstance(tokens, list):
        raise ValueError("no user: there is no number, or no list of keys")
    if user.get("is_active") is not True:
        return None
    return User(number, tuple(token for token in tokens if isinstance(token, str)))


def reference(value: object) -> str:
    """The URI in a reference, `{"uri": …}`. Raises ValueError."""
    uri = value.get("uri") if isinstance(value, dict) else None
    if not isinstance(uri, str) or not uri:
        raise ValueError(f"{str(value)[:100]} is no reference")
    return uri


def trailing_number(uri: str) -> int:
    """The registry's number of what a URI leads to: 12 of `…/slivers/12/`. Raises ValueError."""
    last = uri.partition("?")[0].rstrip("/").rpartition("/")[2]
    if not last.isascii() or not last.isdigit() or len(last) > 15:
        raise ValueError(f"{uri[:100]!r} does not end in a number")
    return int(last)


def template_uri(sliver: Json, slice_: Json | None) -> str | None:
    """Where the sliver's template is: its own, else its slice's, else nowhere."""
    defaults = (slice_ or {}).get("sliver_defaults")
    usual = defaults.get("template") if isinstance(defaults, dict) else None
    own = sliver.get("template")
    one = usual if own is None else own
    return None if one is None else reference(one)


def _number(value: object) -> int | None:
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= NUMBER_MAX
    return value if good and isinstance(value, int) else None


def _set_state(value: object) -> SliverSetState | None:
    if isinstance(value, str) and value in set(SliverSetState):
        return SliverSetState(value)
    return None
