"""Reading the host's apt configuration: whichever way it is written, only Debian's own archive."""

from __future__ import annotations

from pathlib import Path

import pytest

from vct.build.apt import (
    AptSource,
    acquire_options,
    check_keyrings,
    parse_deb822,
    parse_one_line,
    select,
    sources,
)
from vct.build.suites import KEYRING
from vct.errors import HostError

MAIN = ("main",)
URI, SECURITY = "http://mirror.example/debian", "http://mirror.example/debian-security"


def source(uri: str, suite: str, components: tuple[str, ...] = MAIN, key: str = "") -> AptSource:
    return AptSource(uri=uri, suite=suite, components=components, signed_by=key)


def names(found: tuple[AptSource, ...]) -> list[tuple[str, str]]:
    return [(one.uri, one.suite) for one in found]


def test_it_works() -> None:
    text = f"deb {URI} bookworm main\ndeb {SECURITY} bookworm-security main\n"
    found = select(parse_one_line(text), "bookworm", "bookworm", MAIN)
    assert [str(one) for one in found] == [
        f"deb [signed-by={KEYRING}] {URI} bookworm main",
        f"deb [signed-by={KEYRING}] {SECURITY} bookworm-security main",
    ]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("deb http://m/debian bookworm main", [source("http://m/debian", "bookworm")]),
        ("  deb\thttp://m/debian  bookworm\tmain", [source("http://m/debian", "bookworm")]),
        (
            "deb http://m/debian bookworm main contrib # comment",
            [source("http://m/debian", "bookworm", ("main", "contrib"))],
        ),
        (
            "deb [arch=amd64 signed-by=/k.gpg] http://m/debian bookworm main",
            [source("http://m/debian", "bookworm", key="/k.gpg")],
        ),
        ("deb http://m/flat ./", [source("http://m/flat", "./", ())]),
        ("deb-src http://m/debian bookworm main", []),
        ("# deb http://m/debian bookworm main", []),
        ("deb http://m/debian", []),
        ("", []),
    ],
)
def test_one_line_sources(line: str, found: list[AptSource]) -> None:
    assert parse_one_line(line) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "Types: deb deb-src\nURIs: http://m/debian\nSuites: bookworm bookworm-updates\n"
            "Components: main\nSigned-By: /k.gpg\n",
            [
                source("http://m/debian", "bookworm", key="/k.gpg"),
                source("http://m/debian", "bookworm-updates", key="/k.gpg"),
            ],
        ),
        (
            "# a comment\ntypes: deb\nuris: http://a/debian\n http://b/debian\nsuites: bookworm\n"
            "components: main\n",
            [source("http://a/debian", "bookworm"), source("http://b/debian", "bookworm")],
        ),
        (
            "Types: deb\nURIs: http://a/debian\nSuites: bookworm\nComponents: main\nSigned-By:\n"
            " -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ==\n",
            [source("http://a/debian", "bookworm")],
        ),
        (
            "Types: deb\nURIs: http://a/debian\nSuites: bookworm\nComponents: main\n# note\n\n\n"
            "Types: deb\nURIs: http://b/debian\nSuites: sid\nComponents: main\n",
            [source("http://a/debian", "bookworm"), source("http://b/debian", "sid")],
        ),
        ("Types: deb-src\nURIs: http://a/debian\nSuites: bookworm\nComponents: main\n", []),
        (
            "Enabled: no\nTypes: deb\nURIs: http://a/debian\nSuites: bookworm\nComponents: main\n",
            [],
        ),
        ("", []),
    ],
)
def test_deb822_sources(text: str, found: list[AptSource]) -> None:
    assert parse_deb822(text) == found


THIRD_PARTIES = [
    source("https://apt.example.com", "bookworm", MAIN, "/usr/share/keyrings/example.gpg"),
    source("https://example.com/linux/debian", "bookworm", MAIN, "/etc/apt/keyrings/example.gpg"),
    source("https://example.com/linux/debian", "bookworm", ("stable",)),
    source("https://packages.example.com/apt", "bookworm"),
]


@pytest.mark.parametrize("entry", THIRD_PARTIES, ids=str)
def test_a_third_partys_repository_is_never_used(entry: AptSource) -> None:
    assert select([entry], "bookworm", "bookworm", MAIN) == ()


def test_updates_and_security_come_along_in_a_fixed_order() -> None:
    entries = [
        source(SECURITY, "bookworm-security"),
        source(URI, "bookworm-updates"),
        source(URI, "bookworm-backports"),
        source(URI, "bookworm"),
    ]
    assert names(select(entries, "bookworm", "bookworm", MAIN)) == [
        (URI, "bookworm"),
        (URI, "bookworm-updates"),
        (SECURITY, "bookworm-security"),
    ]


@pytest.mark.parametrize("written", ["trixie", "stable", "testing"])
def test_a_mirror_of_another_release_serves_ours_too(written: str) -> None:
    entries = [source(URI, written), source(SECURITY, f"{written}-security")]
    assert names(select(entries, "bookworm", "trixie", MAIN)) == [
        (URI, "bookworm"),
        (SECURITY, "bookworm-security"),
    ]


def test_updates_alone_are_no_release() -> None:
    assert select([source(URI, "bookworm-updates")], "bookworm", "bookworm", MAIN) == ()


def test_components_are_the_recipes() -> None:
    entries = [source(URI, "bookworm", ("main", "contrib", "non-free"))]
    assert select(entries, "bookworm", "", MAIN)[0].components == MAIN


def test_a_password_is_not_public() -> None:
    found = source("https://user:secret@mirror.example:8443/debian", "bookworm")
    assert found.public == "deb https://mirror.example:8443/debian bookworm main"
    assert "secret" in str(found)


# --- this host -----------------------------------------------------------------------------------


def host(tmp_path: Path, system: str, text: str) -> dict[str, Path]:
    (tmp_path / "apt" / "sources.list.d").mkdir(parents=True)
    (tmp_path / "apt" / "sources.list.d" / "system.sources").write_text(text)
    (tmp_path / "os-release").write_text(system)
    return {"directory": tmp_path / "apt", "os_release": tmp_path / "os-release"}


def stanza(uri: str, suite: str) -> str:
    return f"Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: main\n"


def test_a_newer_debian_uses_its_own_mirror(tmp_path: Path) -> None:
    places = host(tmp_path, 'ID=debian\nVERSION_CODENAME="trixie"\n', stanza(URI, "trixie"))
    assert names(sources("bookworm", "host", MAIN, **places)) == [(URI, "bookworm")]


def test_a_host_that_is_not_debian_must_be_told_a_mirror(tmp_path: Path) -> None:
    text = stanza("http://archive.example/ubuntu", "noble")
    places = host(tmp_path, "ID=ubuntu\nVERSION_CODENAME=noble\n", text)
    with pytest.raises(HostError) as caught:
        sources("bookworm", "host", MAIN, **places)
    assert "--mirror URL" in caught.value.hint


def test_a_given_mirror_is_used_alone(tmp_path: Path) -> None:
    places = host(tmp_path, "ID=debian\n", stanza(URI, "bookworm"))
    found = sources("bookworm", "http://other.example/debian", MAIN, **places)
    assert found == (source("http://other.example/debian", "bookworm", MAIN, KEYRING),)


def test_a_missing_keyring_is_told(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        check_keyrings([source(URI, "bookworm", MAIN, str(tmp_path / "none.gpg"))])
    assert "debian-archive-keyring" in caught.value.hint


def test_only_what_leads_to_the_mirror_is_passed_on() -> None:
    wanted = [
        'Acquire::http::Proxy "http://proxy.example:3128";',
        'Acquire::https::CAInfo "/etc/ssl/own.pem";',
        'Acquire::https::Proxy::mirror.example "DIRECT";',
        'Acquire::Check-Valid-Until "false";',
        'Acquire::ForceIPv4 "true";',
    ]
    others = [
        'Acquire "";',
        'Acquire::http "";',
        'Acquire::AllowInsecureRepositories "1";',
        'Acquire::AllowWeakRepositories "1";',
        'Acquire::Languages:: "none";',
        'APT::Get::AllowUnauthenticated "1";',
    ]
    assert acquire_options("\n".join([*others, *wanted])) == wanted
