"""Publishing images: a directory that any web server serves to LXC, Incus, LXD and vct.

    <directory>/.vct-published                      the mark: this directory is ours
                images/vct/<name>/<arch>/default/<version>/   an image's files, never changed
                streams/v1/{index,images}.json      for Incus, LXD and vct image import
                meta/1.0/index-{system,user}        for LXC's template `download`

Files come first, indexes last and at one stroke each, so clients may come at any time; what no
index names any more is removed after that.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vct.build import locks, store
from vct.build import simplestreams as streams
from vct.build.events import Report, notes
from vct.build.formats import description, export
from vct.build.formats.description import FileFacts
from vct.build.formats.tree import file_digest, joined_digest
from vct.build.simplestreams import Item, Offer
from vct.build.trees import remove_tree
from vct.errors import RefusedError

MARK, LOCK = ".vct-published", ".lock"
MARK_TEXT = "This directory is made by vct image publish. Serve it with any web server.\n"
KEEP = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One image in the directory. `new`: its files were written now. `fingerprint` is Incus'."""

    name: str
    arch: str
    version: str
    path: str
    fingerprint: str
    size: int
    new: bool


def version_of(image: store.Image) -> str:
    """`20250101_120000_0123abcd`: when it was built, which is also the order, and which it is."""
    digits = "".join(sign for sign in image.built if sign.isdigit())[:14].ljust(14, "0")
    return f"{digits[:8]}_{digits[8:]}_{image.digest[:8]}"


def publish(
    directory: Path,
    images: Sequence[store.Image],
    *,
    level: int | None = None,
    keep: int = KEEP,
    report: Report,
) -> list[Published]:
    """Bring these images into a directory, new or ours; what else is in it stays. Needs root.

    `level` compresses harder or less (0 to 9 for the archives, squashfs accordingly); `keep` is how
    many versions of each image stay. Raises RefusedError for a directory that is not ours.
    """
    prepare(directory)
    waiting = notes(report, images[0].name, images[0].arch)
    words = f"another vct ({{}}) publishes in {directory}: waiting"
    with locks.held(directory / LOCK, waiting, words):
        offers = {(offer.product, offer.version): offer for offer in read_offers(directory)}
        results = []
        for image in images:
            offer = _offer(image, offers)
            if offer is None:
                offer = _write_image(directory, image, level, report)
                results.append(_published(offer, new=True))
            else:
                results.append(_published(offer, new=False))
            offers[(offer.product, offer.version)] = offer
        kept = kept_offers(offers.values(), keep)
        _write_indexes(directory, kept)
        _remove_others(directory, kept)
    return results


def prepare(directory: Path) -> None:
    """Make the directory and its mark. Raises RefusedError when it holds something else."""
    mark = directory / MARK
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        if mark.is_file():
            return
        raise RefusedError(
            f"{directory} is not empty and not made by vct image publish",
            hint="name a new directory",
        )
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    mark.write_text(MARK_TEXT)


def read_offers(directory: Path) -> list[Offer]:
    """What the directory offers now."""
    file = directory / streams.PRODUCTS
    return streams.parse_products(file.read_bytes(), str(file)) if file.is_file() else []


def kept_offers(offers: Iterable[Offer], keep: int) -> list[Offer]:
    """The `keep` newest versions of each image, sorted by image and version. Pure."""
    by_product: dict[str, list[Offer]] = {}
    for offer in offers:
        by_product.setdefault(offer.product, []).append(offer)
    return [
        offer
        for product in sorted(by_product)
        for offer in sorted(by_product[product], key=lambda one: one.version)[-keep:]
    ]


def _offer(image: store.Image, offers: dict[tuple[str, str], Offer]) -> Offer | None:
    product = f"{streams.SYSTEM}:{image.name}:{image.arch}:{streams.VARIANT}"
    return offers.get((product, version_of(image)))


def _published(offer: Offer, *, new: bool) -> Published:
    meta = offer.items[streams.INCUS]
    return Published(
        name=offer.name,
        arch=offer.arch,
        version=offer.version,
        path=meta.path.rpartition("/")[0],
        fingerprint=meta.combined["combined_squashfs_sha256"],
        size=sum(item.size for kind, item in offer.items.items() if kind != streams.LXD),
        new=new,
    )


# --- one image -----------------------------------------------------------------------------------


def _write_image(directory: Path, image: store.Image, level: int | None, report: Report) -> Offer:
    """Export an image for LXC and for Incus into its place. Returns what the index says of it."""
    version = version_of(image)
    place = directory / streams.directory(image.name, image.arch, version)
    job = Path(tempfile.mkdtemp(prefix=".new-", dir=directory))
    try:
        facts: dict[str, FileFacts] = {}
        ready = job / "ready"
        ready.mkdir(mode=0o755)
        for form in ("lxc", "incus"):
            made = export.export(
                image, format=form, target=job / form, level=_level(form, level), report=report
            )
            facts |= made.files
            for name in made.files:
                (made.path / name).rename(ready / name)
        text = (job / "incus" / description.INSIDE).read_bytes()
        whole = replace(description.parse(text, image.name), format="published", files=facts)
        (ready / description.INSIDE).write_text(description.render(whole))
        offer = _describe(image, version, ready, facts)
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():  # left by a crash before the index was written
            remove_tree(place)
        ready.rename(place)
        return offer
    finally:
        remove_tree(job)


def _level(form: str, level: int | None) -> int | None:
    """0..9 for xz; the squashfs's zstd has twice as many."""
    if level is None or form == "lxc":
        return level
    return max(1, min(22, level * 2 + 1))


def _describe(image: store.Image, version: str, ready: Path, facts: dict[str, FileFacts]) -> Offer:
    base = streams.directory(image.name, image.arch, version)
    # With the archive's own digest here too, Incus would list every image twice.
    meta, squashfs = ready / export.INCUS_META, ready / export.ROOT_SQUASHFS
    combined = {"combined_squashfs_sha256": joined_digest(meta, squashfs)}
    inside = ready / description.INSIDE
    described = FileFacts(sha256=file_digest(inside), size=inside.stat().st_size)
    files = facts | {description.INSIDE: described}
    items: tuple[tuple[str, str, dict[str, str]], ...] = (
        (streams.INCUS, export.INCUS_META, combined),
        (streams.LXD, export.INCUS_META, combined),
        (streams.SQUASHFS, export.ROOT_SQUASHFS, {}),
        (streams.ROOT_XZ, export.ROOT_XZ, {}),
        (streams.META_XZ, export.META_XZ, {}),
        (streams.DESCRIPTION, description.INSIDE, {}),
    )
    return Offer(
        name=image.name,
        arch=image.arch,
        version=version,
        system=streams.SYSTEM,
        variant=streams.VARIANT,
        aliases=(image.name, f"{streams.SYSTEM}/{image.name}"),
        items={
            kind: Item(
                type=kind,
                path=f"{base}/{name}",
                sha256=files[name].sha256,
                size=files[name].size,
                combined=more,
            )
            for kind, name, more in items
        },
    )


# --- indexes -------------------------------------------------------------------------------------


def _write_indexes(directory: Path, offers: Sequence[Offer]) -> None:
    texts = {
        streams.PRODUCTS: streams.render_products(offers),
        streams.INDEX: streams.render_index(offers),
        **dict.fromkeys(streams.LXC_INDEXES, streams.render_lxc_index(offers)),
    }
    for name, text in texts.items():
        file = directory / name
        file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        new = file.with_name(f".{file.name}.new")
        with new.open("w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        new.rename(file)


def _remove_others(directory: Path, offers: Sequence[Offer]) -> None:
    """Versions that no index names: superseded, or left by a crash."""
    named = {
        directory / streams.directory(offer.name, offer.arch, offer.version) for offer in offers
    }
    ours = directory / "images" / streams.SYSTEM
    for version in ours.glob(f"*/*/{streams.VARIANT}/*"):
        if version not in named:
            remove_tree(version)
