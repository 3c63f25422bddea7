"""The settings file: secrets without defaults, unreadable for others, errors that name the key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vct.controller import config
from vct.controller.config import Config
from vct.errors import InputError, UsageError

DATA = Path("/srv/vct")


def write(path: Path, **changed: object) -> dict[str, str]:
    """The environment for a settings file with some members changed."""
    config.write(config.generated(DATA), path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    return {config.VARIABLE: str(path)}


def test_it_works(tmp_path: Path) -> None:
    told = config.generated(DATA, hosts=("[::1]",), poll_interval_s=5)
    config.write(told, tmp_path / "c.json")
    assert config.load({config.VARIABLE: str(tmp_path / "c.json")}) == told
    assert (tmp_path / "c.json").stat().st_mode & 0o777 == 0o600
    assert told.media == DATA / "media"


def test_every_testbed_has_a_secret_of_its_own() -> None:
    assert config.generated(DATA).secret_key != config.generated(DATA).secret_key


def test_without_a_file_there_is_no_controller(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=config.VARIABLE):
        config.load({})
    with pytest.raises(InputError, match=r"none\.json"):
        config.load({config.VARIABLE: str(tmp_path / "none.json")})


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    environment = write(tmp_path / "c.json")
    (tmp_path / "c.json").chmod(0o640)
    with pytest.raises(InputError, match="others"):
        config.load(environment)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("secret_key", ""),
        ("secret_key", "short"),
        ("secret_key", 7),
        ("data", ""),
        ("hosts", "localhost"),
        ("hosts", [1]),
        ("debug", "yes"),
        ("poll_interval_s", True),
        ("colour", "red"),
    ],
)
def test_a_bad_setting_is_named(tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(InputError) as refused:
        config.load(write(tmp_path / "c.json", **{key: value}))
    assert refused.value.key == key


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_what_is_not_an_object_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        config.parse(text, "c.json")


def test_postgresql_is_one_setting() -> None:
    told = config.database(Config(secret_key="", data="", database="postgresql://u:p%40@[::1]:1/n"))
    assert (told["USER"], told["PASSWORD"], told["HOST"]) == ("u", "p@", "::1")
    assert (told["PORT"], told["NAME"]) == ("1", "n")
    told = config.database(Config(secret_key="", data="", database="postgresql:///n?host=/run/x"))
    assert told["HOST"] == "/run/x"


@pytest.mark.parametrize("url", ["mysql://x/y", "postgresql://host", "/file"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(UsageError):
        config.database(Config(secret_key="", data="", database=url))
