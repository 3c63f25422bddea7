"""Recipe files: what they mean, and what every fault in one is answered with."""

from __future__ import annotations

from pathlib import Path

import pytest

from vct.build.recipes import data_directory
from vct.errors import InputError
from vct.model.recipe import ARCHITECTURES, Bootstrap, load_recipe, parse_recipe

BASE = """\
name: tiny
kind: base
bootstrap: {suite: bookworm}
"""
LAYER = """\
name: tiny
kind: node
from: base-debian
"""


def here(tmp_path: Path) -> Path:
    (tmp_path / "recipes").mkdir(exist_ok=True)
    return tmp_path / "recipes" / "tiny.yaml"


def test_it_works(tmp_path: Path) -> None:
    recipe = parse_recipe(BASE, here(tmp_path))
    assert (recipe.name, recipe.kind, recipe.architectures) == ("tiny", "base", ARCHITECTURES)
    assert recipe.bootstrap == Bootstrap(
        suite="bookworm", variant="minbase", mirror="host", components=("main",)
    )
    assert (recipe.parent, recipe.packages, recipe.run, recipe.files) == (None, (), (), None)


def test_a_layer_has_a_parent_and_no_bootstrap(tmp_path: Path) -> None:
    recipe = parse_recipe(LAYER + "packages: [curl, tinc=1.0.36-2]\n", here(tmp_path))
    assert (recipe.parent, recipe.bootstrap) == ("base-debian", None)
    assert recipe.packages == ("curl", "tinc=1.0.36-2")


def test_files_are_looked_up_beside_the_recipes_directory(tmp_path: Path) -> None:
    (tmp_path / "images" / "tiny").mkdir(parents=True)
    recipe = parse_recipe(LAYER + "files: images/tiny\n", here(tmp_path))
    assert recipe.files == tmp_path / "images" / "tiny"


def test_commands_know_their_lines(tmp_path: Path) -> None:
    text = LAYER + "run:\n  - date\n  - |\n    cd /\n    ls\n"
    recipe = parse_recipe(text, here(tmp_path))
    assert recipe.run == ("date", "cd /\nls\n")
    assert [recipe.places[f"run[{index}]"].line for index in (0, 1)] == [5, 6]


@pytest.mark.parametrize("file", sorted((data_directory() / "recipes").glob("*.yaml")), ids=str)
def test_our_own_recipes_load(file: Path) -> None:
    assert load_recipe(file).architectures == ("amd64", "i386")


BAD = [
    ("", 1, "", "has nothing in it"),
    ("- a\n", 1, "", "must be a mapping"),
    ("name: [tiny\n", 2, "", "not YAML"),
    ("name: tiny\n\tkind: base\n", 2, "", "tab"),
    ("kind: node\nfrom: base-debian\n", 1, "name", "is missing"),
    ("name: tiny\nfrom: base-debian\n", 1, "kind", "is missing"),
    ("name: tiny\nkind: node\n", 1, "", "neither from nor bootstrap"),
    (BASE + "from: base-debian\n", 3, "bootstrap", "from is there too"),
    ("name: tiny\nkind: node\nfrom: tiny\n", 3, "from", "cannot start from itself"),
    ("name: other\nkind: node\nfrom: base-debian\n", 1, "name", "not the file's name"),
    ("name: Tiny\nkind: node\nfrom: base-debian\n", 1, "name", "not an image name"),
    ("name: tiny/../x\nkind: node\nfrom: base-debian\n", 1, "name", "not an image name"),
    ("name: 7\nkind: node\nfrom: base-debian\n", 1, "name", "not text"),
    ("name: tiny\nkind: router\nfrom: base-debian\n", 2, "kind", "unknown kind"),
    ("name: tiny\nkind: vct-container\nfrom: base-debian\n", 2, "kind", "cannot be made yet"),
    (LAYER + "package: [curl]\n", 4, "package", "unknown key"),
    (LAYER + "kind: base\n", 4, "kind", "twice"),
    (LAYER + "packages: curl\n", 4, "packages", "must be a list"),
    (LAYER + "packages: [curl, Curl]\n", 4, "packages[1]", "not a Debian package"),
    (LAYER + "packages: [curl, curl]\n", 4, "packages", "twice"),
    (LAYER + "packages: ['-o Dir=/']\n", 4, "packages[0]", "not a Debian package"),
    (LAYER + "packages: [1]\n", 4, "packages[0]", "not text"),
    (LAYER + "architectures: [arm64]\n", 4, "architectures[0]", "unknown architecture"),
    (LAYER + "architectures: []\n", 4, "architectures", "at least 1"),
    (LAYER + "architectures: [i386, i386]\n", 4, "architectures", "twice"),
    (LAYER + "files: /etc\n", 4, "files", "not a path below"),
    (LAYER + "files: ../etc\n", 4, "files", "not a path below"),
    (LAYER + "files: images/none\n", 4, "files", "there is no directory"),
    (LAYER + "run: ls\n", 4, "run", "must be a list"),
    (LAYER + "run: ['']\n", 4, "run[0]", "is empty"),
    (LAYER + "run:\n  - ls\n  - 5\n", 6, "run[1]", "not text"),
    (LAYER + "exclude: [usr/share/man]\n", 4, "exclude[0]", "not a path pattern"),
    (LAYER + "output: {format: squashfs}\n", 4, "output.format", "cannot be made yet"),
    (LAYER + "output: {format: floppy}\n", 4, "output.format", "unknown format"),
    (LAYER + "output: directory\n", 4, "output", "must be a mapping"),
    ("name: tiny\nkind: base\nbootstrap: {}\n", 3, "bootstrap.suite", "is missing"),
    ("name: tiny\nkind: base\nbootstrap: {suite: '12'}\n", 3, "bootstrap.suite", "not a suite"),
    (BASE.replace("}", ", mirror: ftp://x}"), 3, "bootstrap.mirror", "not a mirror"),
    (BASE.replace("}", ", mirror: 'http://a ] b'}"), 3, "bootstrap.mirror", "not a mirror"),
    (BASE.replace("}", ", variant: large}"), 3, "bootstrap.variant", "unknown variant"),
    (BASE.replace("}", ", components: []}"), 3, "bootstrap.components", "at least 1"),
    (BASE.replace("}", ", suit: x}"), 3, "bootstrap.suit", "unknown key"),
]


@pytest.mark.parametrize(("text", "line", "key", "words"), BAD)
def test_a_fault_is_told_with_its_place(
    tmp_path: Path, text: str, line: int, key: str, words: str
) -> None:
    file = here(tmp_path)
    with pytest.raises(InputError) as caught:
        parse_recipe(text, file)
    assert (caught.value.file, caught.value.line, caught.value.key) == (str(file), line, key)
    assert words in caught.value.message
    assert caught.value.hint


def test_a_misspelt_from_is_recognised(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        parse_recipe("name: tiny\nkind: node\nform: base-debian\n", here(tmp_path))
    assert "did you mean from?" in caught.value.hint


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_recipe(tmp_path / "tiny.yaml")
