"""The directory that image servers serve: written and read, as pure values and texts.

Incus, LXD and `vct image import` read streams/v1/index.json and images.json (simplestreams); LXC's
template `download` reads meta/1.0/index-system and index-user. The layout, and what the items are
called, are those of the LXC project's own image servers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vct.errors import VctError

INDEX = "streams/v1/index.json"
PRODUCTS = "streams/v1/images.json"
LXC_INDEXES = ("meta/1.0/index-system", "meta/1.0/index-user")
SYSTEM, VARIANT = "vct", "default"
# File types: what clients look for.
INCUS, LXD, SQUASHFS, ROOT_XZ, META_XZ, DESCRIPTION = (
    "incus.tar.xz", "lxd.tar.xz", "squashfs", "root.tar.xz", "lxc.tar.xz", "vct.json",
)  # fmt: skip
ARCHITECTURES = {
    "amd64": "amd64",
    "x86_64": "amd64",
    "i386": "i386",
    "i686": "i386",
}
SHA256 = re.compile(r"[0-9a-f]{64}")
SIZE_MAX = 1 << 50
VERSION = re.compile(r"[0-9]{8}[A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One file of an image: `path` is relative to the server's root. `combined` are the digests
    of this file with a root file system behind it, by the name of the field."""

    type: str
    path: str
    sha256: str
    size: int
    combined: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One version of one image of a server. `items` are by file type."""

    name: str
    arch: str
    version: str
    system: str
    variant: str
    aliases: tuple[str, ...]
    items: Mapping[str, Item]

    @property
    def product(self) -> str:
        return f"{self.system}:{self.name}:{self.arch}:{self.variant}"


def directory(name: str, arch: str, version: str) -> str:
    """Where the files of an image are: images/vct/node-debian/amd64/default/20250101_120000."""
    return f"images/{SYSTEM}/{name}/{arch}/{VARIANT}/{version}"


# --- writing -------------------------------------------------------------------------------------


def render_index(offers: Iterable[Offer]) -> str:
    """streams/v1/index.json."""
    return _json(
        {
            "format": "index:1.0",
            "index": {
                "images": {
                    "datatype": "image-downloads",
                    "format": "products:1.0",
                    "path": PRODUCTS,
                    "products": sorted({offer.product for offer in offers}),
                }
            },
        }
    )


def render_products(offers: Iterable[Offer]) -> str:
    """streams/v1/images.json."""
    products: dict[str, Any] = {}
    for offer in offers:
        product = products.setdefault(
            offer.product,
            {
                "aliases": ",".join(offer.aliases),
                "arch": offer.arch,
                "os": offer.system,
                "release": offer.name,
                "release_title": offer.name,
                "requirements": {},
                "variant": offer.variant,
                "versions": {},
            },
        )
        product["versions"][offer.version] = {
            "items": {item.type: _render_item(item) for item in offer.items.values()}
        }
    return _json(
        {
            "content_id": "images",
            "datatype": "image-downloads",
            "format": "products:1.0",
            "products": products,
        }
    )


def _render_item(item: Item) -> dict[str, Any]:
    return {
        "ftype": item.type,
        "path": item.path,
        "sha256": item.sha256,
        "size": item.size,
        **item.combined,
    }


def render_lxc_index(offers: Iterable[Offer]) -> str:
    """meta/1.0/index-system: `dist;release;arch;variant;build;/path/` of each newest version."""
    lines = []
    for offer in newest(offers):
        path = offer.items[META_XZ].path.rpartition("/")[0]
        fields = (offer.system, offer.name, offer.arch, offer.variant, offer.version, f"/{path}/")
        lines.append(";".join(fields) + "\n")
    return "".join(lines)


def _json(document: object) -> str:
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def newest(offers: Iterable[Offer]) -> list[Offer]:
    """Of each image its newest version, sorted by product."""
    found: dict[str, Offer] = {}
    for offer in offers:
        if offer.product not in found or offer.version > found[offer.product].version:
            found[offer.product] = offer
    return [found[product] for product in sorted(found)]


# --- reading -------------------------------------------------------------------------------------


def parse_index(text: bytes, source: str) -> list[str]:
    """The paths of the lists of products that streams/v1/index.json names. Raises VctError."""
    try:
        streams = json.loads(text)["index"].values()
        return [
            _path(stream["path"], source)
            for stream in streams
            if stream.get("datatype") == "image-downloads"
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _wrong(source, f"is not an index of image streams ({error!r})") from None


def parse_products(text: bytes, source: str) -> list[Offer]:
    """Every version of every image for an architecture of ours. Raises VctError.

    Items without size and sha256 are left out: they could not be checked.
    """
    try:
        products = json.loads(text)["products"]
        return [
            _parse_offer(product, version, content, source)
            for product in products.values()
            for version, content in product["versions"].items()
            if product.get("arch") in ARCHITECTURES and VERSION.fullmatch(version)
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _wrong(source, f"is not a list of image products ({error!r})") from None


def _parse_offer(product: Any, version: str, content: Any, source: str) -> Offer:
    items = [_parse_item(item, source) for item in content["items"].values() if _sized(item)]
    return Offer(
        name=str(product["release"]),
        arch=ARCHITECTURES[product["arch"]],
        version=version,
        system=str(product["os"]),
        variant=str(product.get("variant", "")),
        aliases=tuple(part.strip() for part in product.get("aliases", "").split(",") if part),
        items={item.type: item for item in items},
    )


def _sized(item: Any) -> bool:
    return bool(SHA256.fullmatch(item.get("sha256", ""))) and isinstance(item.get("size"), int)


def _parse_item(item: Any, source: str) -> Item:
    if not 0 <= item["size"] <= SIZE_MAX:
        raise _wrong(source, f"has the size {item['size']}")
    combined = {
        key: value
        for key, value in item.items()
        if key.startswith("combined_") and isinstance(value, str) and SHA256.fullmatch(value)
    }
    return Item(
        type=str(item["ftype"]),
        path=_path(item["path"], source),
        sha256=item["sha256"],
        size=item["size"],
        combined=combined,
    )


def _path(path: str, source: str) -> str:
    """A path below the server's root, and nothing else that a URL could be."""
    parts = path.split("/")
    if not path or ".." in parts or path.startswith("/") or re.search(r"[:?#\\\s\0]", path):
        raise _wrong(source, f"has the path {path!r}, which is not below the server's root")
    return path


def choose(offers: Iterable[Offer], name: str, arch: str, source: str) -> Offer:
    """The newest version of the image that has this alias or name. Raises VctError."""
    known = list(offers)
    found = [
        offer
        for offer in known
        if offer.arch == arch and name in (offer.name, offer.product, *offer.aliases)
    ]
    if not found:
        have = sorted({f"{offer.name} for {offer.arch}" for offer in known})
        words = "; ".join(have[:20]) or "nothing for our architectures"
        raise VctError(f"{source} has no image {name} for {arch}", hint=f"it has: {words}")
    return max(newest(found), key=lambda offer: (offer.variant == VARIANT, offer.version))


def _wrong(source: str, problem: str) -> VctError:
    return VctError(f"{source} {problem}", hint="is it the address of an image server?")
