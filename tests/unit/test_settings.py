"""Settings: the file, the variables, which of them wins, and what is wrong with a bad one."""

from __future__ import annotations

from pathlib import Path

import pytest

from vct.errors import UsageError, VctError
from vct.model.settings import KINDS, Settings, load_settings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def test_it_works(file: Path) -> None:
    file.write_text("home: /srv/vct\njobs: 4\nready_timeout_s: 2.5\ntestbed: ring\n")
    assert load_settings(file, {}) == Settings(
        home=Path("/srv/vct"), jobs=4, ready_timeout_s=2.5, testbed="ring"
    )


def test_without_a_file_the_defaults_hold(file: Path) -> None:
    assert load_settings(file, {}) == Settings()


def test_an_empty_file_changes_nothing(file: Path) -> None:
    file.write_text("# nothing yet\n")
    assert load_settings(file, {}) == Settings()


def test_a_variable_wins_over_the_file(file: Path) -> None:
    file.write_text("testbed: ring\njobs: 4\n")
    loaded = load_settings(file, {"VCT_TESTBED": "line", "VCT_JOBS": "2"})
    assert (loaded.testbed, loaded.jobs) == ("line", 2)


def test_an_empty_variable_is_not_set(file: Path) -> None:
    file.write_text("testbed: ring\n")
    assert load_settings(file, {"VCT_TESTBED": ""}).testbed == "ring"


def test_variables_of_others_are_ignored(file: Path) -> None:
    assert load_settings(file, {"VCT_SUDO_ASK": "NO", "HOME": "/nowhere"}) == Settings()


def test_images_are_in_the_state_root_unless_set(file: Path) -> None:
    assert load_settings(file, {"VCT_HOME": "/srv/vct"}).places.images == Path("/srv/vct/images")
    moved = load_settings(file, {"VCT_HOME": "/srv/vct", "VCT_IMAGES": "/srv/images"}).places
    assert (moved.root, moved.images) == (Path("/srv/vct"), Path("/srv/images"))


def test_every_setting_has_a_kind() -> None:
    assert set(KINDS) == set(Settings.__dataclass_fields__)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("home: [", "not YAML"),
        ("- home\n", "must be a mapping"),
        ("hoome: /srv\n", "hoome: unknown setting"),
        ("home: srv/vct\n", "must be an absolute path"),
        ("home: 5\n", "must be an absolute path"),
        ("home:\n", "None is not a path"),
        ("testbed:\n", "None is not a word"),
        ("testbed: [a, b]\n", "is not a word"),
        ("jobs: many\n", "'many' is not a whole number"),
        ("jobs: 1.5\n", "1.5 is not a whole number"),
        ("jobs: true\n", "True is not a whole number"),
        ("jobs: -1\n", "must be zero or more"),
        ("ready_timeout_s: soon\n", "'soon' is not a number"),
        ("ready_timeout_s: .inf\n", "must be zero or more"),
        ("ready_timeout_s: .nan\n", "must be zero or more"),
    ],
)
def test_a_bad_file_is_named_and_refused(file: Path, text: str, words: str) -> None:
    file.write_text(text)
    with pytest.raises(UsageError, match=words) as caught:
        load_settings(file, {})
    assert str(file) in caught.value.message
    assert caught.value.exit_code == 2


def test_a_file_that_cannot_be_read_is_named(file: Path) -> None:
    file.mkdir()
    with pytest.raises(UsageError, match=str(file)):
        load_settings(file, {})


@pytest.mark.parametrize(
    ("variable", "value"),
    [("VCT_HOME", "relative"), ("VCT_JOBS", "two"), ("VCT_READY_TIMEOUT_S", "-3")],
)
def test_a_bad_variable_is_named_and_refused(file: Path, variable: str, value: str) -> None:
    with pytest.raises(VctError, match=variable) as caught:
        load_settings(file, {variable: value})
    assert caught.value.exit_code == 2
