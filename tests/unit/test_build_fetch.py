"""Root file systems of others: checked before they are unpacked, fetched once."""

from __future__ import annotations

import errno
import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from vct.build import fetch
from vct.build.fetch import fetch_argv, fetched
from vct.cli.fetch import main
from vct.errors import VctError
from vct.model.recipe import Fetch


def packed(path: Path) -> Path:
    with tarfile.open(path, "w:gz") as writer:
        entry = tarfile.TarInfo("top/etc/motd")
        entry.size = 6
        writer.addfile(entry, io.BytesIO(b"hello\n"))
    return path


@pytest.fixture
def wanted(tmp_path: Path) -> Fetch:
    file = packed(tmp_path / "root.tar.gz")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Fetch(url=f"file://{file}", sha256=digest, format="tar.gz", strip=1, size_max_mib=16)


def run(wanted: Fetch, tmp_path: Path) -> int:
    (tmp_path / "root").mkdir(exist_ok=True)
    argv = fetch_argv(wanted, tmp_path / "cache", tmp_path / "root")
    assert argv[1:3] == ("-m", "vct.cli.fetch")
    return main(argv[3:])


def test_it_works(wanted: Fetch, tmp_path: Path) -> None:
    assert run(wanted, tmp_path) == 0
    assert (tmp_path / "root" / "etc" / "motd").read_text() == "hello\n"


def test_a_file_is_fetched_once(wanted: Fetch, tmp_path: Path) -> None:
    run(wanted, tmp_path)
    (tmp_path / "root.tar.gz").unlink()
    assert fetched(wanted, tmp_path / "cache").name == wanted.sha256


def test_a_damaged_file_in_the_cache_is_fetched_again(wanted: Fetch, tmp_path: Path) -> None:
    kept = fetched(wanted, tmp_path / "cache")
    kept.write_bytes(b"junk")
    assert fetched(wanted, tmp_path / "cache").read_bytes() != b"junk"


def test_another_file_than_named_is_refused_and_not_kept(wanted: Fetch, tmp_path: Path) -> None:
    (tmp_path / "root.tar.gz").write_bytes(b"something else")
    with pytest.raises(VctError, match="has the sha256"):
        fetched(wanted, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_failure_is_told_in_the_builds_log(
    wanted: Fetch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "root.tar.gz").unlink()
    assert run(wanted, tmp_path) == 1
    assert "there is no such file" in capsys.readouterr().err


def test_a_full_disk_is_told_in_the_builds_log(
    wanted: Fetch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_words: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetch, "download", full)
    assert run(wanted, tmp_path) == 1
    said = capsys.readouterr().err
    assert "No space left on device" in said
    assert "free some room" in said
