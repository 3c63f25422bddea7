"""Makes a registered node one that can be reached: its keys become known, its firmware is given.

Called by the API and by the firmware builder. Done twice nothing is written the second time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db import transaction

from vct.controller.mgmt.keys import fingerprint
from vct.controller.mgmt.models import TincAddress, TincHost, mgmt_address
from vct.controller.nodes.models import Node
from vct.controller.pki.authority import node_certificate
from vct.controller.problems import ControllerError
from vct.wire.limits import MgmtBackend
from vct.wire.tinc import Address

API_PATH = "/confine/api/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a node says of itself. `tinc_pubkey` is empty with the native backend.

    `gateway` is the name of the tinc host that it connects to: empty for the one that the rules
    say, None for the one that was chosen before.
    """

    api_csr: str
    mgmt_backend: MgmtBackend
    tinc_pubkey: str = ""
    tinc_addresses: tuple[Address, ...] = ()
    gateway: str | None = None


def enrol(node: Node, identity: Identity, *, set_state: str = "") -> dict[str, object]:
    """The stored node has this identity afterwards; what was changed, for the audit log.

    With its keys known it goes to `set_state`, if one is said and it may. Raises ValidationError
    by member, and ControllerError (409) for a key that another host has.
    """
    tinc = identity.mgmt_backend is MgmtBackend.TINC
    if tinc != bool(identity.tinc_pubkey):
        words = "tinc needs the node's key." if tinc else "Without tinc there is no key."
        raise ValidationError({"tinc_pubkey": words})
    with transaction.atomic():
        changed = certify(node, identity.api_csr, identity.mgmt_backend)
        if tinc:
            changed |= join(
                node,
                identity.tinc_pubkey,
                addresses=identity.tinc_addresses,
                gateway=identity.gateway,
            )
        elif known := TincHost.objects.filter(node=node).first():
            known.delete()
            changed["tinc"] = None
        node.refresh_from_db()
        if set_state and set_state != node.set_state:
            with _about("set_state"):
                node.change(set_state=set_state)
            changed["set_state"] = set_state
    return changed


def certify(node: Node, api_csr: str, backend: MgmtBackend) -> dict[str, object]:
    """The node's API is at its management address, with a certificate. Raises ValidationError."""
    with _about("api_csr"):
        cert = node_certificate(node, api_csr)
    told: dict[str, object] = {
        "mgmt_backend": str(backend),
        "api_base_uri": f"https://[{mgmt_address(node)}]{API_PATH}",
        "api_cert": cert,
    }
    changed = {name: value for name, value in told.items() if getattr(node, name) != value}
    if changed:
        node.change(**changed)
    return changed


def join(
    node: Node,
    pubkey: str,
    *,
    addresses: tuple[Address, ...] | None = None,
    gateway: str | None = None,
) -> dict[str, object]:
    """The node's key, addresses and gateway in the mesh; None is what they were before.

    Raises ValidationError, and ControllerError for a key that another host has.
    """
    changed: dict[str, object] = {}
    with _about("tinc_pubkey"):
        digest = fingerprint(pubkey)
    other = TincHost.objects.filter(fingerprint=digest).exclude(node=node).first()
    if other:
        raise ControllerError(
            f"this tinc key is {other.name}'s: two nodes with one key",
            hint=f"give this one keys of its own: vct node create {node.hex_id} --renew-keys",
        )
    tinc = TincHost.objects.filter(node=node).first()
    if tinc is None:
        tinc = TincHost.objects.create(node=node, pubkey=pubkey)
        changed["tinc"] = digest
    elif tinc.fingerprint != digest:
        tinc.change(pubkey=pubkey)
        changed["tinc"] = digest
    if addresses is not None and _set_addresses(tinc, addresses):
        changed["tinc_addresses"] = [f"{one.addr} {one.port}" for one in addresses]
    chosen = _gateway(gateway, tinc)
    if chosen != tinc.default_connect_to:
        tinc.change(default_connect_to=chosen)
        changed["gateway"] = chosen.name if chosen else ""
    return changed


def _set_addresses(tinc: TincHost, wanted: tuple[Address, ...]) -> bool:
    """Whether there was something to do; what stays keeps its island."""
    left = set(wanted)
    changed = False
    for one in tinc.addresses.all():
        if Address(addr=one.addr, port=one.port) in left:
            left.discard(Address(addr=one.addr, port=one.port))
        else:
            one.delete()
            changed = True
    for address in sorted(left):
        TincAddress.objects.create(host=tinc, addr=address.addr, port=address.port)
        changed = True
    return changed


def _gateway(name: str | None, tinc: TincHost) -> TincHost | None:
    if name is None:
        return tinc.default_connect_to
    if not name:
        return None
    for other in TincHost.objects.exclude(pk=tinc.pk):
        if other.name == name:
            if other.addresses.exists():
                return other
            raise ValidationError({"gateway": f"{name} has no address to connect to."})
    words = f"There is no other tinc host {name}: enrol the gateway before its nodes."
    raise ValidationError({"gateway": words})


@contextmanager
def _about(member: str) -> Iterator[None]:
    """What is wrong is said about the member that it came in."""
    try:
        yield
    except ValidationError as error:
        raise ValidationError({member: error.messages}) from error
