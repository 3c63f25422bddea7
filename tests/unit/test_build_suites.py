"""Old Debian releases: from where, checked how, and the exact commands for wheezy.

The signatures are checked by the genuine apt and gpgv, on a release of the tests' own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vct.build.apt import AptSource, bootstrap_sources, checks_dates
from vct.build.mirror import MirrorError, Snapshot, snapshot
from vct.build.places import Places
from vct.build.steps import bootstrap_steps
from vct.build.suites import ARCHIVE, KEYRING, REMOVED_KEYS
from vct.build.supplies import Supplies
from vct.build.tool_files import render_apt_conf
from vct.model.recipe import Bootstrap, Recipe, parse_recipe

DATA = Path(__file__).parent / "old_release"
HOST_LIST = "deb http://m.example/debian bookworm main\n"


def bootstrap(suite: str, mirror: str = "host") -> Bootstrap:
    return Bootstrap(suite=suite, variant="minbase", mirror=mirror, components=("main",))


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    (tmp_path / "apt").mkdir()
    (tmp_path / "apt" / "sources.list").write_text(HOST_LIST)
    return tmp_path / "apt"


def test_it_works(apt: Path) -> None:
    found = bootstrap_sources(bootstrap("wheezy"), directory=apt)
    assert [str(source) for source in found] == [
        f"deb [signed-by={REMOVED_KEYS}] {ARCHIVE}/debian wheezy main",
        f"deb [signed-by={REMOVED_KEYS}] {ARCHIVE}/debian-security wheezy/updates main",
    ]


def test_a_release_of_today_comes_from_the_hosts_mirror(apt: Path) -> None:
    found = bootstrap_sources(bootstrap("trixie"), directory=apt)
    assert [(source.uri, source.suite, source.signed_by) for source in found] == [
        ("http://m.example/debian", "trixie", KEYRING)
    ]


def test_a_given_mirror_goes_before_the_archive(apt: Path) -> None:
    [source] = bootstrap_sources(bootstrap("wheezy"), "http://old.example/debian", directory=apt)
    assert (source.uri, source.signed_by) == ("http://old.example/debian", REMOVED_KEYS)


def test_the_archive_can_be_asked_for(apt: Path) -> None:
    found = bootstrap_sources(bootstrap("jessie", "archive"), directory=apt)
    assert {source.uri.removeprefix(ARCHIVE) for source in found} == {"/debian", "/debian-security"}


@pytest.mark.parametrize(
    ("keyring", "path"),
    [("mine.gpg", "/usr/share/keyrings/mine.gpg"), ("/etc/keys/mine.gpg", "/etc/keys/mine.gpg")],
)
def test_a_recipe_may_name_its_keyring(apt: Path, keyring: str, path: str) -> None:
    wanted = Bootstrap(
        suite="bookworm", variant="minbase", mirror="host", components=("main",), keyring=keyring
    )
    assert {source.signed_by for source in bootstrap_sources(wanted, directory=apt)} == {path}


@pytest.mark.parametrize(
    ("suite", "checked"), [("wheezy", False), ("buster", False), ("bookworm", True), ("sid", True)]
)
def test_dates_are_checked_where_they_can_be(suite: str, *, checked: bool) -> None:
    assert checks_dates(bootstrap(suite)) is checked


def test_a_recipe_has_the_last_word_on_dates() -> None:
    wanted = Bootstrap(
        suite="wheezy", variant="minbase", mirror="host", components=("main",), check_dates=True
    )
    assert checks_dates(wanted)


# --- the commands for wheezy ---------------------------------------------------------------------


def wheezy(tmp_path: Path) -> Recipe:
    (tmp_path / "recipes").mkdir()
    text = "name: old\nkind: base\nbootstrap: {suite: wheezy}\npackages: [sysvinit]\n"
    return parse_recipe(text, tmp_path / "recipes" / "old.yaml", "i386")


def test_wheezy_is_bootstrapped_from_the_archive_with_its_own_keys(
    tmp_path: Path, apt: Path
) -> None:
    recipe, places = wheezy(tmp_path), Places(job=Path("/s/tmp/j"))
    assert recipe.bootstrap is not None
    sources = bootstrap_sources(recipe.bootstrap, directory=apt)
    supplies = Supplies(snapshot=taken(sources), directory=places.apt)
    [step, *_] = bootstrap_steps(recipe, supplies, places)
    assert step.argv == (
        "mmdebstrap",
        "--mode=root",
        "--format=directory",
        "--variant=minbase",
        "--architectures=i386",
        "--include=sysvinit",
        "--aptopt=/s/tmp/j/apt.conf",
        "--dpkgopt=/s/tmp/j/dpkg.conf",
        "--hook-directory=/usr/share/mmdebstrap/hooks/jessie-or-older",
        "--hook-directory=/s/tmp/j/hooks",
        "--skip=check/qemu,essential/unlink,update",
        "wheezy",
        "/s/tmp/j/work/layer/upper",
        f"deb [signed-by={REMOVED_KEYS}] {ARCHIVE}/debian wheezy main",
        f"deb [signed-by={REMOVED_KEYS}] {ARCHIVE}/debian-security wheezy/updates main",
    )
    conf = render_apt_conf("i386", [], None, supplies)
    assert 'Acquire::Check-Valid-Until "false";' in conf


def taken(sources: tuple[AptSource, ...]) -> Snapshot:
    return Snapshot(
        arch="i386",
        directory=Path("/s/cache/mirror/k"),
        taken=0.0,
        used=sources,
        left_out=(),
        releases=(),
        options=('Acquire::Check-Valid-Until "false";',),
    )


# --- signatures ----------------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A mirror of one release without packages, as Debian's archive has them."""
    release = tmp_path / "debian" / "dists" / "wheezy"
    (release / "main" / "binary-amd64").mkdir(parents=True)
    (release / "main" / "binary-amd64" / "Packages").touch()
    (release / "InRelease").write_bytes((DATA / "InRelease").read_bytes())
    return tmp_path / "debian"


@pytest.fixture
def ask(tmp_path: Path, archive: Path) -> Callable[..., Snapshot]:
    def asked(*, check_dates: bool, keyring: Path = DATA / "keyring.gpg") -> Snapshot:
        source = AptSource(
            uri=f"copy:{archive}", suite="wheezy", components=("main",), signed_by=str(keyring)
        )
        return snapshot(
            (source,),
            "amd64",
            cache=tmp_path / "mirror",
            check_dates=check_dates,
            warn=lambda _words: None,
            sleep=lambda _seconds: None,
        )

    return asked


def test_an_old_release_with_a_good_signature_is_taken(ask: Callable[..., Snapshot]) -> None:
    found = ask(check_dates=False)
    assert [one.date for one in found.releases] == ["Sat, 02 Jun 2012 00:00:00 UTC"]


def test_an_old_release_is_refused_where_dates_are_checked(ask: Callable[..., Snapshot]) -> None:
    with pytest.raises(MirrorError):
        ask(check_dates=True)


def test_a_changed_release_is_refused_though_dates_are_not_checked(
    ask: Callable[..., Snapshot], archive: Path
) -> None:
    file = archive / "dists" / "wheezy" / "InRelease"
    file.write_text(file.read_text().replace("Origin: Debian", "Origin: Debiam"))
    with pytest.raises(MirrorError, match="signature is not good"):
        ask(check_dates=False)


def test_a_release_without_a_signature_is_refused(
    ask: Callable[..., Snapshot], archive: Path
) -> None:
    release = archive / "dists" / "wheezy"
    text = (release / "InRelease").read_text()
    body = text.partition("\n\n")[2].partition("-----BEGIN PGP SIGNATURE")[0]
    (release / "InRelease").unlink()
    (release / "Release").write_text(body)
    with pytest.raises(MirrorError, match="signature is not good"):
        ask(check_dates=False)


def test_another_key_is_refused(ask: Callable[..., Snapshot]) -> None:
    with pytest.raises(MirrorError, match="signature is not good"):
        ask(check_dates=False, keyring=Path(KEYRING))
