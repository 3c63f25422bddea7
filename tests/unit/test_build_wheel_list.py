"""Wheels of others in an image: their list, and how they are had."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path

import pytest

from vct.build.inputs import manifest, tar_of
from vct.build.wheel_list import fetch, read_list
from vct.drivers import process
from vct.errors import InputError, VctError
from vct.model.recipe import Recipe, load_recipe, parse_recipe

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "recipes" / "controller.wheels.txt"
NORMAL = re.compile(r"[-_.]+")  # names of distributions compare so (PEP 503)


def plain(name: str) -> str:
    return NORMAL.sub("-", name).lower()


def listed(directory: Path, content: bytes, name: str = "mine-1-py3-none-any.whl") -> Path:
    """A list of one wheel that is in the cache."""
    digest = hashlib.sha256(content).hexdigest()
    kept = directory / "wheels" / digest
    kept.mkdir(parents=True)
    (kept / name).write_bytes(content)
    file = directory / "x.wheels.txt"
    file.write_text(f"# words\nmine==1 --hash=sha256:{digest}\n")
    return file


def recipe(directory: Path, wheels: str) -> Recipe:
    text = f"name: tiny\nkind: base\nfrom: base-debian\nwheels: [{wheels}]\n"
    return parse_recipe(text, directory / "recipes" / "tiny.yaml")


def test_it_works(tmp_path: Path) -> None:
    file = listed(tmp_path, b"wheel")
    assert fetch(file, tmp_path) == {"usr/share/vct/wheels/mine-1-py3-none-any.whl": b"wheel"}


def test_all_that_the_controller_needs_is_listed_or_debians() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {
        plain(re.split(r"[<>=~!]", one)[0])
        for one in project["optional-dependencies"]["controller"]
    }
    image = load_recipe(ROOT / "recipes" / "controller.yaml")
    debian = {package.removeprefix("python3-") for package in image.packages}
    assert needed <= {plain(wheel.name) for wheel in read_list(SHIPPED)} | debian
    assert image.wheel_lists == (SHIPPED,)


@pytest.mark.parametrize(
    "line",
    ["django", "django==5.2", "django>=5 --hash=sha256:" + "0" * 64, "django==5 --hash=md5:00"],
)
def test_a_line_that_leaves_something_open_is_refused(line: str, tmp_path: Path) -> None:
    file = tmp_path / "x.wheels.txt"
    file.write_text(f"# words\n\n{line}\n")
    with pytest.raises(InputError, match="version and digest") as caught:
        read_list(file)
    assert caught.value.line == 3


def test_a_wheel_that_is_damaged_in_the_cache_is_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = listed(tmp_path, b"wheel")
    (kept,) = (tmp_path / "wheels").glob("*/*.whl")
    kept.write_bytes(b"other")

    def pip(argv: list[str], **_rest: object) -> None:
        assert "--require-hashes" in argv
        place = Path(argv[argv.index("--dest") + 1])
        place.mkdir()
        (place / kept.name).write_bytes(b"wheel")

    monkeypatch.setattr(process, "run", pip)
    assert list(fetch(file, tmp_path).values()) == [b"wheel"]


def test_what_pip_cannot_get_says_what_to_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "x.wheels.txt"
    file.write_text(f"mine==1 --hash=sha256:{'0' * 64}\n")

    def pip(argv: list[str], **_rest: object) -> None:
        raise process.CommandError(argv, process.Completed(1, "", "no such thing"))

    monkeypatch.setattr(process, "run", pip)
    with pytest.raises(VctError, match="no such thing") as caught:
        fetch(file, tmp_path)
    assert "pip" in caught.value.hint
    assert [path.name for path in (tmp_path / "wheels").iterdir()] == []


def test_a_wheel_with_machine_code_is_refused(tmp_path: Path) -> None:
    file = listed(tmp_path, b"wheel", "mine-1-cp311-cp311-manylinux1_x86_64.whl")
    with pytest.raises(VctError, match="every machine"):
        fetch(file, tmp_path)


def test_a_recipe_names_lists_by_their_path(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "x.wheels.txt").write_text(f"mine==1 --hash=sha256:{'0' * 64}\n")
    found = recipe(tmp_path, "recipes/x.wheels.txt")
    assert not found.own_wheel
    inputs = manifest(found, "amd64", parent="p", sources=[], tools={})
    assert inputs["files"] == {"usr/share/vct/wheels/mine-1": f"wheel {'0' * 64}"}
    assert b"usr/share/vct/wheels/m.whl" in tar_of(found, {"usr/share/vct/wheels/m.whl": b"x"})


@pytest.mark.parametrize(
    ("wheels", "words"),
    [
        ("recipes/none.wheels.txt", "there is no file"),
        ("../x.wheels.txt", "not a path below"),
        ("/etc/x.wheels.txt", "not a path below"),
        ("django", "unknown wheel 'django'"),
    ],
)
def test_a_list_that_cannot_be_meant_is_told(wheels: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        recipe(tmp_path, wheels)
