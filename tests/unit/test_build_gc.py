"""What gc frees, and that it keeps its hands off everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from vct.build import gc, store
from vct.build.gc import Facts, Unused, decide

A, B = "a" * 64, "b" * 64


def image(
    digest: str = A, layers: tuple[str, ...] = (), packages: tuple[str, ...] = ()
) -> store.Image:
    return store.Image(
        name="tiny",
        arch="amd64",
        digest=digest,
        format="directory",
        path=Path("/i/store") / digest / "root",
        size_mib=1.0,
        built="2026-01-01T00:00:00+00:00",
        made="1",
        seconds=1.0,
        packages=packages,
        layers={str(number): key for number, key in enumerate(layers)},
        manifest={},
    )


def test_it_works() -> None:
    facts = Facts(images=[A, B], named={"tiny.amd64": image(A)})
    assert decide(facts) == Unused(images=(B,))


@pytest.mark.parametrize(
    ("facts", "unused"),
    [
        (Facts(), Unused()),
        (Facts(images=[A, B], named={"t.amd64": image(A), "t.i386": image(B)}), Unused()),
        (Facts(images=[A, B], users={A: "ring/0001"}), Unused(images=(B,))),
        (Facts(images=[A, B], users={A: "process 4711", B: "loop3"}), Unused()),
        (Facts(layers=["k", "l"], named={"t.amd64": image(layers=("k",))}), Unused(layers=("l",))),
        (Facts(images=[A], users={A: "run mine"}, layers=["k"]), Unused(layers=("k",))),
        (Facts(mirrors={"old": 90_000, "new": 60}), Unused(mirrors=("old",))),
    ],
    ids=[
        "an empty store",
        "named images stay",
        "an image of a container stays",
        "a mounted image stays",
        "layers of named images stay",
        "an image that is only in use needs no layers",
        "lists of a mirror are of use for a day",
    ],
)
def test_what_nothing_uses_goes(facts: Facts, unused: Unused) -> None:
    assert decide(facts) == unused


@pytest.mark.parametrize(
    ("file", "package"),
    [
        ("less_590-2_amd64.deb", "less=590-2"),
        ("adduser_3.134_all.deb", "adduser=3.134"),
        ("passwd_1%3a4.13+dfsg1-1+b1_i386.deb", "passwd=1:4.13+dfsg1-1+b1"),
    ],
)
def test_a_downloaded_package_stays_while_an_image_has_it(file: str, package: str) -> None:
    assert gc.package_of(file) == package
    stock = {"amd64": [file, "gone_1_all.deb"]}
    facts = Facts(packages=stock, named={"t.amd64": image(packages=(package,))})
    assert decide(facts) == Unused(packages=(("amd64", "gone_1_all.deb"),))


def test_what_is_found_in_a_store_is_freed_and_nothing_else(tmp_path: Path) -> None:
    images, home = tmp_path / "images", tmp_path / "home"
    store.prepare(images)
    for path in (f"store/{A}/root", f"store/{B}/root", "cache/layers/k/upper"):
        (images / path).mkdir(parents=True)
    node = home / "testbeds" / "ring" / "nodes" / "0001"
    node.mkdir(parents=True)
    (node / "config").write_text(f"lxc.rootfs.path = overlay:/i/store/{A}/root:/d\n")
    unused = decide(gc.observe(images, home))
    assert unused == Unused(images=(B,), layers=("k",))
    gc.free(images, unused)
    assert [path.name for path in (images / "store").iterdir()] == [A]
    assert list((images / "cache" / "layers").iterdir()) == []
    assert list((images / "tmp").iterdir()) == []


def test_a_name_whose_image_is_gone_goes_too(tmp_path: Path) -> None:
    store.prepare(tmp_path)
    store.point(tmp_path, "tiny", "amd64", A)
    gc.free(tmp_path, Unused())
    assert store.image_names(tmp_path) == []


def test_words_say_how_many_of_each() -> None:
    assert gc.words(Unused(images=(A,), layers=("k", "l"))) == ["1 image", "2 layers"]
