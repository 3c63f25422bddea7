"""Recipe files: what they mean, and what every fault in one is answered with."""

from __future__ import annotations

from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from vct.build.recipes import data_directory
from vct.errors import InputError
from vct.model.recipe import (
    ARCHITECTURES,
    FORMATS,
    KINDS,
    Bootstrap,
    Fetch,
    load_recipe,
    parse_recipe,
    recipe_schema,
)

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
    assert [run.text for run in recipe.run] == ["date", "cd /\nls\n"]
    assert [recipe.places[f"run[{index}]"].line for index in (0, 1)] == [5, 6]


@pytest.mark.parametrize("file", sorted((data_directory() / "recipes").glob("*.yaml")), ids=str)
def test_our_own_recipes_load(file: Path) -> None:
    given = {"url": "file:///root.tar.gz", "sha256": "a" * 64}  # for those that ask for them
    assert load_recipe(file, parameters=given).architectures == ("amd64", "i386")


BAD = [
    ("", 1, "", "has nothing in it"),
    ("- a\n", 1, "", "must be a mapping"),
    ("name: [tiny\n", 2, "", "not YAML"),
    ("name: tiny\n\tkind: base\n", 2, "", "tab"),
    ("kind: node\nfrom: base-debian\n", 1, "name", "is missing"),
    ("name: tiny\nfrom: base-debian\n", 1, "kind", "is missing"),
    ("name: tiny\nkind: node\n", 1, "", "none of from, bootstrap and fetch"),
    (BASE + "from: base-debian\n", 3, "bootstrap", "from is there too"),
    ("name: tiny\nkind: node\nfrom: tiny\n", 3, "from", "cannot start from itself"),
    ("name: other\nkind: node\nfrom: base-debian\n", 1, "name", "not the file's name"),
    ("name: Tiny\nkind: node\nfrom: base-debian\n", 1, "name", "not an image name"),
    ("name: tiny/../x\nkind: node\nfrom: base-debian\n", 1, "name", "not an image name"),
    ("name: 7\nkind: node\nfrom: base-debian\n", 1, "name", "not text"),
    ("name: tiny\nkind: router\nfrom: base-debian\n", 2, "kind", "unknown kind"),
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


SHA = "a" * 64
FETCH = f"""\
name: tiny
kind: node
fetch:
  url: https://example.org/root.tar.xz
  sha256: {SHA}
"""
BAD += [
    # parameters
    (LAYER + "parameters: [suite]\n", 4, "parameters", "must be a mapping"),
    (LAYER + "parameters: {Suite: x}\n", 4, "parameters.Suite", "not a parameter's name"),
    (LAYER + "parameters: {a: [x]}\n", 4, "parameters.a", "must be text"),
    (LAYER + "packages: ['${tool}']\n", 4, "packages[0]", "no parameter 'tool'"),
    (
        LAYER + "parameters: {tool: tinc}\npackages:\n  - ${tol}\n",
        6,
        "packages[0]",
        "no parameter 'tol'",
    ),
    (LAYER + "packages: ['${}']\n", 4, "packages[0]", "no parameter ''"),
    (
        "name: tiny\nkind: base\nparameters: {suite: '12'}\nbootstrap:\n  suite: ${suite}\n",
        5,
        "bootstrap.suite",
        "'12' is not a suite",
    ),
    # packages
    (LAYER + "packages: {all: tinc}\n", 4, "packages.all", "must be a list"),
    (LAYER + "packages: {arm64: [tinc]}\n", 4, "packages.arm64", "unknown key"),
    (LAYER + "packages: {i386: [Tinc]}\n", 4, "packages.i386[0]", "not a Debian package"),
    (LAYER + "packages: ['set:look']\n", 4, "packages[0]", "no package set look"),
    (
        LAYER + "package_sets: {look: [less]}\npackages:\n  - set:lok\n",
        6,
        "packages[0]",
        "no package set lok",
    ),
    (
        LAYER + "packages: ['set:a']\npackage_sets:\n  a: ['set:b']\n  b: ['set:a']\n",
        7,
        "package_sets.b[0]",
        "hold each other: a → b → a",
    ),
    (LAYER + "package_sets: {Look: []}\n", 4, "package_sets.Look", "not a set's name"),
    # commands and hooks
    (LAYER + "run:\n  - {network: true}\n", 5, "run[0].command", "is missing"),
    (LAYER + "run:\n  - {command: ls, net: true}\n", 5, "run[0].net", "unknown key"),
    (LAYER + "run:\n  - {command: ls, network: 3}\n", 5, "run[0].network", "true or false"),
    (LAYER + "run: [[ls]]\n", 4, "run[0]", "must be text"),
    (LAYER + "hooks: [setup]\n", 4, "hooks[0]", "there is no file"),
    (LAYER + "hooks: [../setup]\n", 4, "hooks[0]", "not a hook's name"),
    # other beginnings
    (FETCH + "from: base-debian\n", 4, "fetch", "from is there too"),
    (FETCH.replace("https", "ftp"), 4, "fetch.url", "not a URL"),
    (FETCH.replace(SHA, "abc"), 5, "fetch.sha256", "not a sha256"),
    (FETCH.replace(SHA, SHA[:-1]), 5, "fetch.sha256", "not a sha256"),
    (FETCH.replace(f"  sha256: {SHA}\n", ""), 4, "fetch", "sha256 is missing"),
    (FETCH.replace(".tar.xz", ".iso"), 4, "fetch.url", "does not say what it is"),
    (FETCH + "  format: zip\n", 6, "fetch.format", "unknown format"),
    (FETCH + "  strip: -1\n", 6, "fetch.strip", "too little"),
    (FETCH + "  size_max: 512\n", 6, "fetch.size_max", "needs a unit"),
    (
        "name: tiny\nkind: node\nfetch:\n  url:\n    amd64: {url: file:///a.tar.gz}\n",
        5,
        "fetch.url.amd64.sha256",
        "is missing",
    ),
    (
        "name: tiny\nkind: node\nfetch:\n  url:\n"
        f"    amd64: {{url: file:///a.tar.gz, sha256: '{SHA}'}}\n",
        5,
        "fetch.url",
        "there is none for i386",
    ),
    (BASE.replace("}", ", keyring: ../x.gpg}"), 3, "bootstrap.keyring", "not a keyring"),
    (BASE.replace("}", ", keyring: trusted}"), 3, "bootstrap.keyring", "not a keyring"),
    # the rest
    (LAYER + "version: ''\n", 4, "version", "not a version"),
    (LAYER + "version: 1.10\n", 4, "version", "not text"),
    (LAYER + "output: {format: squashfs, compression: 30}\n", 4, "output.compression", "too much"),
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


# --- parameters, sets, architectures -------------------------------------------------------------


def test_a_parameter_stands_for_its_default(tmp_path: Path) -> None:
    text = "parameters: {suite: trixie}\n" + BASE.replace("bookworm", "'${suite}'")
    recipe = parse_recipe(text, here(tmp_path))
    assert recipe.bootstrap is not None
    assert recipe.bootstrap.suite == "trixie"
    assert recipe.parameters == {"suite": "trixie"}


def test_a_given_parameter_goes_before_the_default(tmp_path: Path) -> None:
    text = "parameters: {suite: trixie}\n" + BASE.replace("bookworm", "'${suite}'")
    recipe = parse_recipe(text, here(tmp_path), parameters={"suite": "wheezy", "other": "x"})
    assert recipe.bootstrap is not None
    assert recipe.bootstrap.suite == "wheezy"
    assert recipe.parameters == {"suite": "wheezy"}


def test_a_parameter_may_be_a_number(tmp_path: Path) -> None:
    text = LAYER + "parameters: {port: 8080, ipv6: true}\nrun: ['echo ${port} ${ipv6}']\n"
    assert parse_recipe(text, here(tmp_path)).run[0].text == "echo 8080 true"


def test_the_shell_keeps_its_own_variables(tmp_path: Path) -> None:
    text = LAYER + "parameters: {a: x}\nrun: ['echo ${a} ${HOME} $a ${b:-y}']\n"
    assert parse_recipe(text, here(tmp_path)).run[0].text == "echo x ${HOME} $a ${b:-y}"


def test_two_dollars_are_a_plain_one(tmp_path: Path) -> None:
    recipe = parse_recipe(LAYER + "exclude: ['/usr/$${arch}']\n", here(tmp_path))
    assert recipe.exclude == ("/usr/${arch}",)


def test_the_architecture_is_a_parameter_too(tmp_path: Path) -> None:
    recipe = parse_recipe(LAYER + "run: ['echo ${arch}']\n", here(tmp_path), "i386")
    assert recipe.run[0].text == "echo i386"


def test_packages_may_be_those_of_a_set(tmp_path: Path) -> None:
    text = LAYER + (
        "parameters: {tools: look}\n"
        "package_sets: {look: [less, 'set:more'], more: [nano, less]}\n"
        "packages: [curl, 'set:${tools}']\n"
    )
    assert parse_recipe(text, here(tmp_path)).packages == ("curl", "less", "nano")


def test_an_architecture_may_have_packages_of_its_own(tmp_path: Path) -> None:
    text = LAYER + "packages: {all: [curl], amd64: [less], i386: [nano]}\n"
    file = here(tmp_path)
    assert parse_recipe(text, file, "amd64").packages == ("curl", "less")
    assert parse_recipe(text, file, "i386").packages == ("curl", "nano")


def test_a_command_has_no_network_unless_it_asks(tmp_path: Path) -> None:
    text = LAYER + "run:\n  - ls\n  - {command: wget x, network: true}\n"
    assert [run.network for run in parse_recipe(text, here(tmp_path)).run] == [False, True]


def test_hooks_run_after_the_commands(tmp_path: Path) -> None:
    hooks = tmp_path / "images" / "tiny" / "hooks"
    hooks.mkdir(parents=True)
    (hooks / "setup").write_text("#!/bin/sh\nid\n")
    recipe = parse_recipe(LAYER + "hooks: [setup]\nrun: [ls]\n", here(tmp_path))
    assert [(run.key, run.text) for run in recipe.run] == [
        ("run[0]", "ls"),
        ("hooks[0]", "#!/bin/sh\nid\n"),
    ]


def test_a_hook_for_another_interpreter_is_refused(tmp_path: Path) -> None:
    hooks = tmp_path / "images" / "tiny" / "hooks"
    hooks.mkdir(parents=True)
    (hooks / "setup").write_text("#!/usr/bin/perl\n")
    with pytest.raises(InputError, match="is not for /bin/sh"):
        parse_recipe(LAYER + "hooks: [setup]\n", here(tmp_path))


# --- fetch, output, schema -----------------------------------------------------------------------


def test_a_recipe_may_start_from_a_file_of_others(tmp_path: Path) -> None:
    recipe = parse_recipe(FETCH + "  strip: 1\n  size_max: 1GiB\n", here(tmp_path))
    assert recipe.fetch == Fetch(
        url="https://example.org/root.tar.xz",
        sha256=SHA,
        format="tar.xz",
        strip=1,
        size_max_mib=1024,
    )
    assert (recipe.parent, recipe.bootstrap) == (None, None)


def test_each_architecture_may_have_a_file_of_its_own(tmp_path: Path) -> None:
    text = (
        "name: tiny\nkind: node\nfetch:\n  url:\n"
        f"    amd64: {{url: 'https://h/a.tgz', sha256: '{SHA}'}}\n"
        f"    i386: {{url: 'file:///b.squashfs', sha256: '{'b' * 64}'}}\n"
    )
    found = [parse_recipe(text, here(tmp_path), arch).fetch for arch in ARCHITECTURES]
    assert [(one.url, one.format, one.sha256[0]) for one in found if one] == [
        ("https://h/a.tgz", "tar.gz", "a"),
        ("file:///b.squashfs", "squashfs", "b"),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_written(tmp_path: Path, kind: str) -> None:
    assert parse_recipe(LAYER.replace("node", kind), here(tmp_path)).kind == kind


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_can_be_written(tmp_path: Path, form: str) -> None:
    recipe = parse_recipe(LAYER + f"output: {{format: {form}, compression: 15}}\n", here(tmp_path))
    assert (recipe.output, recipe.compression) == (form, 15)


@pytest.mark.parametrize("file", sorted((data_directory() / "recipes").glob("*.yaml")), ids=str)
def test_our_own_recipes_fit_the_schema(file: Path) -> None:
    value = yaml.safe_load(file.read_text())
    jsonschema.Draft202012Validator(recipe_schema()).validate(value)


@pytest.mark.parametrize(
    "text", [LAYER + "form: x\n", LAYER + "packages: {arm: [a]}\n", "name: tiny\nkind: node\n"]
)
def test_the_schema_refuses_what_is_wrong(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(recipe_schema()).validate(yaml.safe_load(text))
