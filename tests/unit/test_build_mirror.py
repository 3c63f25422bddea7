"""What a mirror has now: asked again, left out or refused, and remembered for a day."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from vct.build import mirror
from vct.build.apt import AptSource
from vct.build.mirror import MirrorError, Snapshot, render_update_conf, snapshot
from vct.drivers import process
from vct.drivers.process import Completed

RELEASE, UPDATES, SECURITY = (
    AptSource(
        uri="http://me:secret@m.example/debian",
        suite=f"bookworm{pocket}",
        components=("main",),
        signed_by="/k.gpg",
    )
    for pocket in ("", "-updates", "-security")
)
SYNC = (
    "E: Failed to fetch http://m.example/Packages.xz  File has unexpected size (3 != 4). "
    "Mirror sync in progress? [IP: 192.0.2.1 80]\n"
    "E: Some index files failed to download. They have been ignored, or old ones used instead.\n"
)
GONE = "E: The repository 'http://m.example/debian x Release' does not have a Release file.\n"
UNSIGNED = "E: The repository 'http://m.example/debian x InRelease' is not signed.\n"
INVALID = "W: GPG error: http://m.example x InRelease: signatures were invalid: BADSIG 1\nE: bad\n"
OFFLINE = "E: Failed to fetch http://m.example/InRelease  Could not resolve 'm.example'\n"
OLD = "E: Release file for http://m.example/InRelease is expired (invalid since 5 y)\n"


class FakeMirror:
    """Answers `apt-get update` for one source after the other. `says` maps a suite to errors."""

    def __init__(self, **says: Sequence[str]) -> None:
        self.says = {suite.replace("_", "-"): list(errors) for suite, errors in says.items()}
        self.asked: list[str] = []

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        if argv[0] == "apt-config":
            return Completed(0, 'Acquire::http::Proxy "http://p";\n', "")
        assert list(argv) == ["apt-get", "update"]
        directory = Path(options["env"]["APT_CONFIG"]).parent
        suite = (directory / "sources.list").read_text().split()[3]
        self.asked.append(suite)
        errors = self.says.get(suite, [])
        if errors:
            return Completed(100, "", errors.pop(0))
        name = f"m.example_debian_dists_{suite}_InRelease"
        (directory / "lists" / name).write_text(f"Origin: Debian\nDate: today\nSuite: {suite}\n")
        return Completed(0, "", "")


@pytest.fixture
def take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Take a snapshot of a fake mirror; `warned` collects what was told."""

    def taken(
        fake: FakeMirror, *sources: AptSource, warned: Any = None, **options: Any
    ) -> Snapshot:
        monkeypatch.setattr(process, "run", fake.run)
        return snapshot(
            sources or (RELEASE, UPDATES, SECURITY),
            "i386",
            cache=tmp_path / "mirror",
            warn=(warned if warned is not None else []).append,
            sleep=lambda _seconds: None,
            **options,
        )

    return taken


def test_it_works(take: Any) -> None:
    found = take(FakeMirror())
    assert found.used == (RELEASE, UPDATES, SECURITY)
    assert found.left_out == ()
    assert next((one.suite, one.date) for one in found.releases) == ("bookworm", "today")
    assert (found.lists / "m.example_debian_dists_bookworm_InRelease").is_file()


def test_a_mirror_in_the_middle_of_a_sync_is_asked_again(take: Any) -> None:
    fake = FakeMirror(bookworm_security=[SYNC, SYNC])
    assert take(fake).left_out == ()
    assert fake.asked.count("bookworm-security") == 3


@pytest.mark.parametrize("says", [[SYNC] * 3, [GONE]], ids=["sync", "missing"])
def test_a_pocket_that_cannot_be_served_is_left_out_and_told(take: Any, says: list[str]) -> None:
    warned: list[str] = []
    found = take(FakeMirror(bookworm_security=says), warned=warned)
    assert found.used == (RELEASE, UPDATES)
    assert [one.suite for one in found.left_out] == ["bookworm-security"]
    assert len(warned) == 1
    assert warned[0].startswith("without bookworm-security: the mirror does not")


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (SYNC, "middle of a sync"),
        (GONE, "does not have it"),
        (OFFLINE, "cannot be reached"),
        (OLD, "not of these days"),
        (UNSIGNED, "signature is not good"),
        ("E: the disk is odd\n", "apt cannot read it"),
    ],
)
def test_the_release_itself_is_never_left_out(take: Any, says: str, words: str) -> None:
    with pytest.raises(MirrorError, match=words) as caught:
        take(FakeMirror(bookworm=[says] * 3))
    assert f"| {says.splitlines()[0]}" in caught.value.hint
    assert "bookworm from http://m.example/debian" in caught.value.message


@pytest.mark.parametrize("says", [UNSIGNED, INVALID])
def test_a_bad_signature_is_never_left_out_nor_asked_again(take: Any, says: str) -> None:
    fake = FakeMirror(bookworm_security=[says] * 3)
    with pytest.raises(MirrorError, match="signature is not good"):
        take(fake)
    assert fake.asked.count("bookworm-security") == 1


def test_a_password_is_told_to_nobody(take: Any) -> None:
    with pytest.raises(MirrorError) as caught:
        take(FakeMirror(bookworm=[GONE]))
    told = f"{caught.value} {caught.value.hint} {caught.value.details()}"
    assert "secret" not in told
    found = take(FakeMirror(bookworm_updates=[GONE]))
    assert "secret" not in f"{found.left_out} {found.releases}"


def test_lists_are_kept_for_a_day(take: Any) -> None:
    take(FakeMirror(bookworm_security=[GONE]))
    fake, warned = FakeMirror(), list[str]()
    found = take(fake, warned=warned)
    assert fake.asked == []
    assert [one.suite for one in found.left_out] == ["bookworm-security"]
    assert len(warned) == 1


def test_lists_of_yesterday_are_fetched_anew(take: Any) -> None:
    state = take(FakeMirror(bookworm_security=[GONE])).directory / "state.json"
    told = json.loads(state.read_text())
    state.write_text(json.dumps(told | {"taken": told["taken"] - mirror.MAX_AGE_S}))
    fake = FakeMirror()
    assert take(fake).left_out == ()
    assert len(fake.asked) == 3


def test_lists_are_fetched_anew_on_request(take: Any) -> None:
    take(FakeMirror(bookworm_security=[GONE]))
    assert take(FakeMirror(), not_before=time.time()).left_out == ()


def test_a_damaged_cache_is_made_anew(take: Any) -> None:
    (take(FakeMirror()).directory / "state.json").write_text("{")
    fake = FakeMirror()
    take(fake)
    assert len(fake.asked) == 3


def test_a_failure_leaves_nothing_in_the_cache(take: Any, tmp_path: Path) -> None:
    with pytest.raises(MirrorError):
        take(FakeMirror(bookworm=[GONE]))
    assert list((tmp_path / "mirror").iterdir()) == []


def test_a_failure_leaves_the_lists_that_were_there(take: Any) -> None:
    before = take(FakeMirror())
    with pytest.raises(MirrorError):
        take(FakeMirror(bookworm=[GONE]), not_before=time.time())
    assert (before.directory / "state.json").is_file()


def test_nothing_of_the_hosts_configuration_but_the_way_to_the_mirror(take: Any) -> None:
    found = take(FakeMirror())
    assert 'Acquire::http::Proxy "http://p";' in found.options
    conf = render_update_conf(Path("/w"), "i386", found.options)
    for line in ("Dir::Etc::parts", "Dir::Etc::main", "Dir::Etc::sourceparts"):
        assert f'{line} "/dev/null";' in conf
    assert 'APT::Architectures { "i386"; };' in conf


def test_signatures_are_checked_even_where_dates_are_not(take: Any) -> None:
    strict, lax = take(FakeMirror()), take(FakeMirror(), check_dates=False)
    assert strict.directory != lax.directory
    more = [line for line in lax.options if line not in strict.options]
    assert more == [
        'Acquire::Check-Valid-Until "false";',
        'Acquire::Check-Date "false";',
        f'APT::Key::gpgvcommand "{lax.directory / "gpgv"}";',
    ]
    assert (lax.directory / "gpgv").stat().st_mode & 0o111
    for word in ("trusted=", "AllowInsecure", "allow-unauth"):
        assert word.lower() not in "\n".join(lax.options).lower()
