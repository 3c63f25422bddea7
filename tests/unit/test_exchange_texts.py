"""What is written beside and about images: descriptions, server indexes, LXC's and Incus' files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vct.build import simplestreams as streams
from vct.build.formats import description, metadata, programs, publishing
from vct.build.formats.description import Description, FileFacts
from vct.build.simplestreams import Item, Offer
from vct.build.store import Image
from vct.errors import VctError

DIGEST = "0123456789abcdef" * 4
DESCRIBED = Description(
    name="node-debian",
    arch="amd64",
    kind="node",
    format="tar.zst",
    stored="directory",
    digest=DIGEST,
    tree=DIGEST,
    size=1000,
    entries=10,
    built="2025-01-02T03:04:05+00:00",
    files={"node-debian-amd64.tar.zst": FileFacts(sha256=DIGEST, size=500)},
    manifest={"name": "node-debian"},
    packages=("bash=5.2",),
)


def offer(name: str = "node-debian", arch: str = "amd64", version: str = "20250102_0304") -> Offer:
    base = streams.directory(name, arch, version)
    kinds = {
        streams.INCUS: "incus.tar.xz",
        streams.SQUASHFS: "rootfs.squashfs",
        streams.META_XZ: "meta.tar.xz",
    }
    return Offer(
        name=name,
        arch=arch,
        version=version,
        system=streams.SYSTEM,
        variant=streams.VARIANT,
        aliases=(name, f"vct/{name}"),
        items={
            kind: Item(
                type=kind,
                path=f"{base}/{file}",
                sha256=DIGEST,
                size=7,
                combined={"combined_squashfs_sha256": DIGEST} if kind == streams.INCUS else {},
            )
            for kind, file in kinds.items()
        },
    )


def test_it_works() -> None:
    offers = [offer(), offer(arch="i386"), offer(name="base-debian")]
    written = streams.render_products(offers).encode()
    assert sorted(streams.parse_products(written, "x"), key=lambda one: one.product) == sorted(
        offers, key=lambda one: one.product
    )
    assert streams.parse_index(streams.render_index(offers).encode(), "x") == [streams.PRODUCTS]


# --- image servers -------------------------------------------------------------------------------


def test_lxc_gets_a_line_for_the_newest_version_of_each_image() -> None:
    lines = streams.render_lxc_index([offer(version="20240101"), offer(version="20250101")])
    assert lines == (
        "vct;node-debian;amd64;default;20250101;/images/vct/node-debian/amd64/default/20250101/\n"
    )


def test_incus_finds_the_fingerprint_where_it_looks_for_it() -> None:
    document = json.loads(streams.render_products([offer()]))
    product = document["products"]["vct:node-debian:amd64:default"]
    item = product["versions"]["20250102_0304"]["items"]["incus.tar.xz"]
    assert item["ftype"] == "incus.tar.xz"
    assert item["combined_squashfs_sha256"] == DIGEST
    assert product["aliases"].split(",") == ["node-debian", "vct/node-debian"]


@pytest.mark.parametrize(
    "name", ["node-debian", "vct/node-debian", "vct:node-debian:amd64:default"]
)
def test_an_image_is_chosen_by_name_alias_or_product(name: str) -> None:
    known = [offer(version="20240101"), offer(version="20250101"), offer(arch="i386")]
    assert streams.choose(known, name, "amd64", "server").version == "20250101"


def test_an_unknown_image_comes_with_those_that_are_there() -> None:
    with pytest.raises(VctError) as caught:
        streams.choose([offer()], "node-debain", "amd64", "server")
    assert caught.value.hint == "it has: node-debian for amd64"


def product_with(**item: Any) -> bytes:
    document = json.loads(streams.render_products([offer()]))
    (product,) = document["products"].values()
    (version,) = product["versions"].values()
    version["items"]["squashfs"] |= item
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../secret",
        "a/../../b",
        "http://elsewhere/x",
        "a?b",
        "a#b",
        "",
        "a b",
        "a\\b",
    ],
)
def test_a_path_that_is_not_below_the_servers_root_is_refused(path: str) -> None:
    with pytest.raises(VctError, match="not below the server's root"):
        streams.parse_products(product_with(path=path), "server")


@pytest.mark.parametrize("item", [{"sha256": ""}, {"sha256": "xyz"}, {"size": None}])
def test_what_cannot_be_checked_is_left_out(item: dict[str, Any]) -> None:
    (found,) = streams.parse_products(product_with(**item), "server")
    assert streams.SQUASHFS not in found.items


@pytest.mark.parametrize(
    "text",
    [b"", b"<html>", b"[]", b"{}", b'{"products": 3}', b'{"products": {"a": {}}}', b"[" * 100_000],
)
def test_nonsense_from_a_server_is_told(text: bytes) -> None:
    with pytest.raises(VctError, match="server is not a"):
        streams.parse_products(text, "server")
    with pytest.raises(VctError, match="server is not an index"):
        streams.parse_index(text, "server")


def test_images_for_other_machines_are_not_seen() -> None:
    text = streams.render_products([offer()]).replace('"arch": "amd64"', '"arch": "arm64"')
    assert streams.parse_products(text.encode(), "server") == []


def test_only_the_newest_versions_are_kept() -> None:
    versions = ["20250103", "20250101", "20250102"]
    kept = publishing.kept_offers(
        [*(offer(version=version) for version in versions), offer(arch="i386")], 2
    )
    assert [(one.arch, one.version) for one in kept] == [
        ("amd64", "20250102"),
        ("amd64", "20250103"),
        ("i386", "20250102_0304"),
    ]


# --- descriptions --------------------------------------------------------------------------------


def test_a_description_comes_back_as_it_was() -> None:
    assert description.parse(description.render(DESCRIBED), "x") == DESCRIBED


def changed(**more: Any) -> str:
    document = json.loads(description.render(DESCRIBED)) | more
    return json.dumps({key: value for key, value in document.items() if value is not ...})


@pytest.mark.parametrize(
    "more",
    [
        {"name": "../../etc"},
        {"name": "Node"},
        {"name": "n" * 64},
        {"name": ["node"]},
        {"name": ...},
        {"arch": "arm64"},
        {"arch": None},
        {"tree": "short"},
        {"digest": 7},
        {"size": -1},
        {"size": True},
        {"size": 2**60},
        {"entries": "10"},
        {"files": []},
        {"files": {"../evil": {"sha256": DIGEST, "size": 1}}},
        {"files": {"a": {"sha256": "x", "size": 1}}},
        {"manifest": "x"},
        {"packages": [1]},
        {"packages": None},
        {"kind": None},
        {"extra": 1},
        {"vct-image": 99},
        {"vct-image": ...},
    ],
    ids=str,
)
def test_a_description_that_is_not_right_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(VctError, match=r"^image\.json "):
        description.parse(changed(**more), "image.json")


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "<html>", "[" * 100_000])
def test_what_is_no_description_is_told(text: str) -> None:
    with pytest.raises(VctError, match="is not a description"):
        description.parse(text, "image.json")


# --- what LXC and Incus read ---------------------------------------------------------------------


def test_a_container_of_ours_starts_what_only_our_images_have() -> None:
    lines = metadata.lxc_config("node-debian", "i386", init=metadata.OUR_INIT).splitlines()
    assert "lxc.init.cmd = /etc/vct/init" in lines
    assert "lxc.arch = i686" in lines
    assert not [line for line in lines if "rootfs" in line or ".net." in line]


def test_an_unprivileged_container_gets_no_device_nodes() -> None:
    files = metadata.lxc_metadata("x", "amd64", init="/sbin/init", devices=["./dev/null"])
    assert files["excludes-user"] == "./dev/null\n"
    assert files["config-user"].endswith("lxc.include = LXC_TEMPLATE_CONFIG/userns.conf\n")


def test_incus_metadata_is_yaml_with_its_architectures() -> None:
    document = json.loads(metadata.incus_metadata("node-debian", "i386"))
    assert document["architecture"] == "i686"
    assert document["properties"]["release"] == "node-debian"


def test_levels_and_threads_are_in_the_commands() -> None:
    root, out = Path("/r"), Path("/o")
    assert "--use-compress-program=zstd --quiet -3 -T2" in programs.tar_zst(root, out, 3)
    assert "--use-compress-program=xz -0 -T2" in programs.tar_xz(root, out, 0)
    assert programs.mksquashfs(root, out, 7)[:3] == ["mksquashfs", "/r", "/o"]


def test_attributes_that_are_carried_are_asked_for() -> None:
    assert "--xattrs-include=security.capability" in programs.TAR
    assert "--xattrs-include=user.*" in programs.TAR


def test_a_version_is_when_it_was_built_and_which_it_is() -> None:
    image = Image(
        name="a",
        arch="amd64",
        digest=DIGEST,
        format="directory",
        path=Path("/x"),
        size_mib=1.0,
        built="2025-01-02T03:04:05+00:00",
        made="x",
        seconds=1.0,
        packages=(),
        layers={},
        manifest={},
    )
    assert publishing.version_of(image) == "20250102_030405_01234567"
    assert publishing.version_of(replace(image, built="")) == "00000000_000000_01234567"
