"""Link relations, profiles and header names of CONFINE's REST API, all as they go over the wire.

Clients and nodes follow the relations exactly as spelled here. v1 is the dialect of the original's
last controllers ("registry"), v0 the one before ("server"), which its client library speaks.
"""

from __future__ import annotations

from enum import StrEnum

REL_BASE = "http://confine-project.eu/rel/"
SCHEMA_BASE = "http://confine-project.eu/schema/"

ETAG = "ETag"
LINK = "Link"
IF_NONE_MATCH = "If-None-Match"
IF_MATCH = "If-Match"
LOCATION = "Location"
EXPECT_CREATED = "201-created"  # the value of Expect that makes a firmware build synchronous
GZIP_TAG_SUFFIX = ";gzip"  # inside the quotes' end of an ETag when the body was compressed


class Dialect(StrEnum):
    """The first word of a relation: who defines it."""

    REGISTRY = "registry"
    SERVER = "server"
    CONTROLLER = "controller"
    NODE = "node"


class Resource(StrEnum):
    """The kinds of objects, by the word that relations and profiles use."""

    BASE = "base"
    SERVER = "server"
    NODE = "node"
    ISLAND = "island"
    HOST = "host"
    GATEWAY = "gateway"
    USER = "user"
    GROUP = "group"
    SLICE = "slice"
    SLIVER = "sliver"
    TEMPLATE = "template"
    BASEIMAGE = "baseimage"


class Function(StrEnum):
    """What can be done to an object: the last word of its relation."""

    GET_AUTH_TOKEN = "do-get-auth-token"  # noqa: S105 - a relation
    REBOOT = "do-reboot"
    REQUEST_CERT = "do-request-mgmt-cert"
    ENROL = "do-enrol"
    RENEW = "do-renew"
    RESET = "do-reset"
    UPDATE = "do-update"
    UPLOAD_DATA = "do-upload-data"
    UPLOAD_OVERLAY = "do-upload-overlay"
    UPLOAD_IMAGE = "do-upload-image"
    UPLOAD_PUBKEY = "do-upload-pubkey"
    CHANGE_AUTH = "do-change-auth"
    REFRESH = "do-refresh"
    FIRMWARE = "firmware"
    STATE = "state"
    VM = "vm"
    # the older dialect's names of the same
    UPLOAD_EXP_DATA = "do-upload-exp-data"
    REQUEST_API_CERT = "do-request-api-cert"
    CHANGE_PASSWORD = "do-change-password"  # noqa: S105 - a relation

    @property
    def path(self) -> str:
        """Where it is below its object: `ctl/reboot/`."""
        word = "request-cert" if self is Function.REQUEST_CERT else self.removeprefix("do-")
        return f"ctl/{word}/"


def relation(dialect: Dialect, word: str) -> str:
    """`http://confine-project.eu/rel/registry/do-reboot`."""
    return f"{REL_BASE}{dialect}/{word}"


def list_relation(dialect: Dialect, resource: Resource) -> str:
    """`http://confine-project.eu/rel/registry/node-list`."""
    return relation(dialect, f"{resource}-list")


def profile(dialect: Dialect, resource: str) -> str:
    """`http://confine-project.eu/schema/registry/v1/node`: what a v1 Content-Type names."""
    return f"{SCHEMA_BASE}{dialect}/v1/{resource}"


def link_header(links: list[tuple[str, str]]) -> str:
    """`<uri>; rel="relation"` for each (relation, uri), on one line as nodes read it.

    Raises ValueError for a URI or relation that would not survive: clients split at commas.
    """
    for rel, uri in links:
        if any(sign in rel + uri for sign in ',<>"\r\n'):
            raise ValueError(f"not fit for a Link header: {rel} {uri}")
    return ", ".join(f'<{uri}>; rel="{rel}"' for rel, uri in links)
