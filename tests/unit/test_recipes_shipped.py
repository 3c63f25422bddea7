"""The recipes that vct brings along: what they are, and that nothing in them is a secret."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import pytest

from vct.build import wheel
from vct.build.inputs import tar, tar_of, tree
from vct.build.recipes import data_directory, names_for_all, recipe_directories, with_parents
from vct.drivers import process
from vct.drivers.packages import PROGRAMS
from vct.errors import InputError
from vct.model.parameters import UnsetError
from vct.model.recipe import ARCHITECTURES, Recipe, load_recipe, parse_recipe

DATA = data_directory()
SHIPPED = {
    "base-debian": ("base", "directory"),
    "controller": ("controller", "squashfs"),
    "node-debian": ("node", "directory"),
    "node-openwrt": ("node", "directory"),
    "sliver-busybox": ("sliver-template", "squashfs"),
    "sliver-debian": ("sliver-template", "squashfs"),
    "sliver-debian-full": ("sliver-template", "squashfs"),
    "sliver-openwrt": ("sliver-template", "squashfs"),
    "vct-container": ("vct-container", "squashfs"),
}
FETCHED = {"url": "https://example.org/rootfs.tar.gz", "sha256": "0" * 64}
FILES = sorted(path for path in (DATA / "images").rglob("*") if path.is_file())
SECRETS = re.compile(r"PRIVATE KEY|\bssh-(?:rsa|ed25519|dss) AAAA|\$(?:1|2[aby]|5|6|7|y|gy)\$")
SAME_PASSWORD = re.compile(r"chpasswd|--password (?!\"\*\")|passwd\b.*<<|mkpasswd")
MACHINES = sorted(
    set(SHIPPED) - {"base-debian", "controller", "sliver-busybox", "sliver-openwrt", "node-openwrt"}
)


def name_of(path: Path) -> str:
    return str(path.relative_to(DATA))


def shipped(name: str, arch: str = "amd64") -> Recipe:
    return load_recipe(DATA / "recipes" / f"{name}.yaml", arch, FETCHED)


def test_it_works() -> None:
    found = {file.stem: shipped(file.stem) for file in (DATA / "recipes").glob("*.yaml")}
    assert {name: (one.kind, one.output) for name, one in found.items()} == SHIPPED


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("name", SHIPPED)
def test_each_is_for_both_architectures_with_all_it_starts_from(name: str, arch: str) -> None:
    parameters = FETCHED if name.endswith("-openwrt") else {}
    chain = with_parents([name], arch, recipe_directories(None), parameters)
    assert chain[-1].name == name
    assert all(recipe.architectures == ARCHITECTURES for recipe in chain)


@pytest.mark.parametrize("name", SHIPPED)
def test_each_begins_with_words_about_it(name: str) -> None:
    text = (DATA / "recipes" / f"{name}.yaml").read_text()
    assert text.startswith("# ")
    assert max(len(line) for line in text.splitlines()) <= 105


# --- what must not be in an image ----------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_file_has_a_key_or_a_password(path: Path) -> None:
    assert not SECRETS.search(path.read_text())
    if path.name == "authorized_keys":
        assert path.read_text() == ""
    if path.name == "shadow":
        assert {line.split(":")[1] for line in path.read_text().splitlines()} == {"*"}


@pytest.mark.parametrize("name", SHIPPED)
def test_no_command_sets_a_password(name: str) -> None:
    for run in shipped(name).run:
        assert not SECRETS.search(run.text)
        assert not SAME_PASSWORD.search(run.text)


@pytest.mark.parametrize("name", MACHINES)
def test_sshd_takes_keys_only(name: str) -> None:
    files = shipped(name).files or shipped("sliver-debian").files
    assert files is not None
    lines = (files / "etc/ssh/sshd_config.d/vct.conf").read_text().splitlines()
    assert {
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitRootLogin prohibit-password",
    } <= set(lines)


# --- trees ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_what_names_its_interpreter_can_be_run_and_nothing_else(path: Path) -> None:
    executable = bool(path.stat().st_mode & 0o111)
    assert executable == path.read_text().startswith("#!")


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.stat().st_mode & 0o111], ids=name_of
)
def test_each_script_is_shell_without_a_fault(path: Path) -> None:
    process.run(["sh", "-n", str(path)])


@pytest.mark.parametrize("name", SHIPPED)
def test_each_command_is_shell_without_a_fault(name: str) -> None:
    for run in shipped(name).run:
        process.run(["sh", "-n"], input=run.text)


def test_trees_have_no_links_as_a_wheel_would_lose_them() -> None:
    assert [name_of(path) for path in (DATA / "images").rglob("*") if path.is_symlink()] == []


def test_each_tree_is_used() -> None:
    used = {recipe.files for recipe in map(shipped, SHIPPED)}
    assert {path for path in (DATA / "images").iterdir() if path.is_dir()} <= used


# --- what is in an image -------------------------------------------------------------------------


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_vct_container_has_every_package_that_vct_needs(arch: str) -> None:
    chain = with_parents(["vct-container"], arch, recipe_directories(None))
    had = {package for recipe in chain for package in recipe.packages}
    assert {program.package for program in PROGRAMS} <= had


def test_the_full_template_has_what_the_small_one_has() -> None:
    assert shipped("sliver-debian-full").parent == "sliver-debian"


# --- parameters without a value ------------------------------------------------------------------


def test_openwrt_is_left_out_of_all_until_it_is_said_which() -> None:
    names, left_out = names_for_all(recipe_directories(None), {})
    assert sorted([*names, *left_out]) == sorted(SHIPPED)
    assert left_out == {
        "node-openwrt": "needs --set url=… --set sha256=…",
        "sliver-openwrt": "needs --set url=… --set sha256=…",
    }
    assert names_for_all(recipe_directories(None), FETCHED) == (sorted(SHIPPED), {})


def test_a_parameter_that_is_null_must_be_given(tmp_path: Path) -> None:
    file = tmp_path / "recipes" / "tiny.yaml"
    text = "name: tiny\nkind: base\nparameters: {suite: null}\nbootstrap: {suite: '${suite}'}\n"
    with pytest.raises(UnsetError) as caught:
        parse_recipe(text, file)
    assert (caught.value.names, caught.value.line) == (("suite",), 3)
    assert "needs --set suite=…" in caught.value.message
    with pytest.raises(UnsetError):
        parse_recipe(text, file, parameters={"suite": ""})
    made = parse_recipe(text, file, parameters={"suite": "trixie"})
    assert made.bootstrap is not None
    assert made.bootstrap.suite == "trixie"


# --- wheels --------------------------------------------------------------------------------------


def test_a_recipes_wheel_is_one_of_its_files(tmp_path: Path) -> None:
    file = tmp_path / "recipes" / "tiny.yaml"
    recipe = parse_recipe("name: tiny\nkind: base\nfrom: base-debian\nwheels: [vct]\n", file)
    assert recipe.own_wheel
    assert f"{wheel.DIRECTORY}/{wheel.NAME}".encode() in tar_of(recipe)


def test_only_our_own_wheel_is_known(tmp_path: Path) -> None:
    text = "name: tiny\nkind: base\nfrom: base-debian\nwheels: [django]\n"
    with pytest.raises(InputError, match="unknown wheel 'django'"):
        parse_recipe(text, tmp_path / "recipes" / "tiny.yaml")


def test_the_wheel_is_what_python_imports_and_always_the_same() -> None:
    (name, content), *others = wheel.wheel_files().items()
    assert others == []
    assert name == f"usr/share/vct/wheels/{wheel.NAME}"
    assert wheel.wheel_files()[name] == content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        record = archive.read(f"{wheel.INFO}/RECORD").decode()
    assert {"vct/__init__.py", "vct/names.py", f"{wheel.INFO}/METADATA"} <= set(names)
    assert not [one for one in names if "__pycache__" in one or one.startswith("vct/data/")]
    assert [line.split(",")[0] for line in record.splitlines()] == names


def test_a_tree_and_its_archive_have_the_same_files(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "motd").write_text("hello\n")
    assert set(tree(tmp_path)) == {"etc/motd"}
    assert b"etc/motd" in tar(tmp_path, {"usr/more": b"x"})
    assert b"usr/more" in tar(tmp_path, {"usr/more": b"x"})
