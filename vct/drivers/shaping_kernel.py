"""The kernel's words for shaping: reads and changes queueing disciplines and filters of interfaces.

Acts on whatever interface it is told to; vct.drivers.shaping decides which, and
vct.drivers.shaping_support tries the same calls out to see what this kernel has.
"""

from __future__ import annotations

import errno
import struct

from vct.drivers.rtnetlink import Netlink
from vct.drivers.rtnetlink_codec import (
    CREATE,
    EXCLUSIVE,
    REPLACE,
    NetlinkError,
    Request,
    attribute,
    attributes,
    head,
    number_attribute,
    text,
    text_attribute,
)
from vct.drivers.rtnetlink_messages import (
    LINK,
    RTM_SETLINK,
    Interface,
    get_link,
    get_links,
    parse_link,
)
from vct.drivers.shaping_render import parse_drop, render_drop
from vct.errors import HostError, VctError

# linux/rtnetlink.h, linux/if_link.h
RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC = 36, 37, 38
RTM_NEWTFILTER, RTM_DELTFILTER, RTM_GETTFILTER = 44, 45, 46
IFLA_GSO_MAX_SEGS = 40
GSO_MAX_SEGS = 65535  # the default
TRAFFIC = struct.Struct("=BxxxiIII")  # tcmsg: family, interface, handle, parent, info
TCA_KIND, TCA_OPTIONS = 1, 2
ROOT, CLSACT_PARENT = 0xFFFFFFFF, 0xFFFFFFF1
CLSACT, INGRESS, EGRESS = 0xFFFF0000, 0xFFFFFFF2, 0xFFFFFFF3

# The mark on queueing disciplines and filters of ours, chosen once and for all.
NETEM, TBF = 0x7C700000, 0x7C710000
DROP_PRIORITY = 0x7C70
DROP_HANDLE = 1
DROP_INFO = DROP_PRIORITY << 16 | struct.unpack("=H", b"\x00\x03")[0]  # ETH_P_ALL
OURS = (NETEM, TBF)

GONE = (errno.ENOENT, errno.ENODEV, errno.EINVAL)  # what deleting the absent answers


def interfaces(netlink: Netlink) -> list[Interface]:
    """All interfaces of a namespace, without their addresses."""
    return [parse_link(payload) for payload in netlink.dump(get_links())]


def interface(netlink: Netlink, name: str) -> Interface | None:
    """One interface of a namespace, if it is there."""
    (payload,) = netlink.do(get_link(name))
    return parse_link(payload) if payload else None


def qdiscs(netlink: Netlink) -> dict[int, dict[int, bytes]]:
    """Options of all queueing disciplines, by interface and handle."""
    seen: dict[int, dict[int, bytes]] = {}
    for message in netlink.dump(_get_qdiscs()):
        _, index, handle, _, _ = head(TRAFFIC, message)
        options = attributes(message[TRAFFIC.size :]).get(TCA_OPTIONS, b"")
        seen.setdefault(index, {})[handle] = options
    return seen


def _get_qdiscs() -> Request:
    body = TRAFFIC.pack(0, 0, 0, 0, 0)
    return Request(RTM_GETQDISC, 0, body, "list queueing disciplines")


def _filters(netlink: Netlink, index: int, parent: int) -> list[tuple[int, dict[int, bytes]]]:
    """Priority and attributes of an interface's filters."""
    body = TRAFFIC.pack(0, index, 0, parent, 0)
    return [
        (head(TRAFFIC, message)[4] >> 16, attributes(message[TRAFFIC.size :]))
        for message in netlink.dump(Request(RTM_GETTFILTER, 0, body, "list filters"))
    ]


def loss(netlink: Netlink, index: int) -> int:
    for priority, found in _filters(netlink, index, INGRESS):
        if priority == DROP_PRIORITY and TCA_OPTIONS in found:
            return parse_drop(found[TCA_OPTIONS])
    return 0


def foreign_root(netlink: Netlink, index: int) -> str:
    """The kind of an interface's queueing discipline if it is not ours; empty if it is."""
    for message in netlink.dump(_get_qdiscs()):
        _, owner, handle, parent, _ = head(TRAFFIC, message)
        # Handle 0 is the kernel's default discipline, which anybody may replace.
        if owner == index and parent == ROOT and handle and handle not in OURS:
            return text(attributes(message[TRAFFIC.size :]).get(TCA_KIND, b""))
    return ""


def set_root(netlink: Netlink, index: int, kind: str, handle: int, options: bytes) -> None:
    body = (
        TRAFFIC.pack(0, index, handle, ROOT, 0)
        + text_attribute(TCA_KIND, kind)
        + attribute(TCA_OPTIONS, options)
    )
    _ask(netlink, RTM_NEWQDISC, CREATE | REPLACE, body, kind)


def clear_root(netlink: Netlink, index: int) -> None:
    for handle in OURS:
        body = TRAFFIC.pack(0, index, handle, ROOT, 0)
        _ask(netlink, RTM_DELQDISC, 0, body, "deleting", GONE)


def send_frames(netlink: Netlink, index: int, *, singly: bool) -> None:
    """Whether TCP hands an interface single frames, as a real link has them, or heaps of up to
    64 KiB that would be delayed and lost as one."""
    segments = number_attribute(IFLA_GSO_MAX_SEGS, 1 if singly else GSO_MAX_SEGS)
    body = LINK.pack(0, 0, index, 0, 0) + segments
    _ask(netlink, RTM_SETLINK, 0, body, "sending frames singly", GONE)


def set_drop(netlink: Netlink, index: int, loss_ppm: int) -> None:
    clsact = TRAFFIC.pack(0, index, CLSACT, CLSACT_PARENT, 0)
    body = clsact + text_attribute(TCA_KIND, "clsact")
    _ask(netlink, RTM_NEWQDISC, CREATE | EXCLUSIVE, body, "clsact", (errno.EEXIST,))
    body = (
        TRAFFIC.pack(0, index, DROP_HANDLE, INGRESS, DROP_INFO)
        + text_attribute(TCA_KIND, "bpf")
        + attribute(TCA_OPTIONS, render_drop(loss_ppm))
    )
    _ask(netlink, RTM_NEWTFILTER, CREATE, body, "bpf")


def clear_drop(netlink: Netlink, index: int) -> None:
    """Remove our filter, and the hook it hung on unless somebody else's hangs there too."""
    if CLSACT not in qdiscs(netlink).get(index, {}):
        return
    body = TRAFFIC.pack(0, index, 0, INGRESS, DROP_INFO)
    _ask(netlink, RTM_DELTFILTER, 0, body, "deleting", GONE)
    if not any(_filters(netlink, index, parent) for parent in (INGRESS, EGRESS)):
        body = TRAFFIC.pack(0, index, CLSACT, CLSACT_PARENT, 0)
        _ask(netlink, RTM_DELQDISC, 0, body, "deleting", GONE)


def _ask(
    netlink: Netlink,
    request: int,
    flags: int,
    body: bytes,
    what: str,
    harmless: tuple[int, ...] = (),
) -> None:
    try:
        netlink.do(Request(request, flags, body, what, harmless))
    except NetlinkError as error:
        if error.errno in (errno.ENOENT, errno.EOPNOTSUPP):
            raise HostError(
                f"this kernel does not have {what} for shaping links", hint="run: vct doctor"
            ) from None
        raise VctError(f"shaping a link: {error.strerror}", hint="run: vct doctor") from None
