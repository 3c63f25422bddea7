"""The exact programs that make an image."""

from __future__ import annotations

from pathlib import Path

import pytest

from vct.build.apt import AptSource
from vct.build.steps import (
    MERGED_USR,
    TIDY,
    Places,
    Step,
    bootstrap_steps,
    layer_steps,
    render_apt_conf,
    render_dpkg_conf,
)
from vct.model.recipe import Recipe, parse_recipe

JOB = Places(job=Path("/images/tmp/job"))
WORK, ROOT = "/images/tmp/job/work", "/images/tmp/job/work/root"
SOURCES = (
    AptSource(uri="http://m/debian", suite="bookworm", components=("main",), signed_by="/k.gpg"),
)
PARENT = Path("/images/store/abc/root")


@pytest.fixture
def base(tmp_path: Path) -> Recipe:
    text = "name: tiny\nkind: base\nbootstrap: {suite: bookworm}\npackages: [netbase, less]\n"
    return parse_recipe(text, tmp_path / "tiny.yaml")


@pytest.fixture
def layer(tmp_path: Path) -> Recipe:
    (tmp_path / "images").mkdir()
    (tmp_path / "recipes").mkdir()
    text = (
        "name: tiny\nkind: node\nfrom: base\npackages: [curl]\nexclude: [/usr/share/man/*]\n"
        "files: images\nrun:\n  - date\n  - |\n    cd /etc\n    ls\n"
    )
    return parse_recipe(text, tmp_path / "recipes" / "tiny.yaml")


def argvs(steps: list[Step]) -> list[tuple[str, ...]]:
    return [step.argv for step in steps]


def test_it_works(base: Recipe) -> None:
    assert argvs(bootstrap_steps(base, "i386", SOURCES, JOB, 4000)) == [
        ("mount", "-t", "tmpfs", "-o", "size=4000m,mode=755", "work", WORK),
        (
            "mmdebstrap",
            "--mode=root",
            "--format=directory",
            "--variant=minbase",
            "--architectures=i386",
            "--include=netbase,less",
            "--aptopt=/images/tmp/job/apt.conf",
            "--dpkgopt=/images/tmp/job/dpkg.conf",
            f"--hook-directory={MERGED_USR}",
            "--skip=check/qemu",
            "bookworm",
            ROOT,
            "deb [signed-by=/k.gpg] http://m/debian bookworm main",
        ),
        ("mount", "-t", "proc", "proc", f"{ROOT}/proc"),
        ("chroot", ROOT, "/bin/sh", "-ec", TIDY),
        ("umount", f"{ROOT}/proc"),
        ("cp", "-a", "--reflink=auto", ROOT, "/images/tmp/job/image/root"),
    ]


def test_a_layer_is_an_overlay_in_which_the_hosts_apt_installs(layer: Recipe) -> None:
    get = ("apt-get", "--yes", "-o", "APT::Update::Error-Mode=any")
    options = f"lowerdir={PARENT},upperdir={WORK}/upper,workdir={WORK}/overlay"
    assert argvs(layer_steps(layer, PARENT, JOB, 0)) == [
        ("mkdir", "-m", "755", f"{WORK}/upper", f"{WORK}/overlay", ROOT),
        ("mount", "-t", "overlay", "-o", options, "overlay", ROOT),
        ("install", "-m", "644", f"{JOB.job}/dpkg.conf", f"{ROOT}/etc/dpkg/dpkg.cfg.d/vct-tiny"),
        ("mount", "-t", "proc", "proc", f"{ROOT}/proc"),
        ("install", "-m", "755", f"{JOB.job}/policy-rc.d", f"{ROOT}/usr/sbin/policy-rc.d"),
        (*get, "update"),
        (*get, "install", "--no-install-recommends", "curl"),
        ("umount", f"{ROOT}/proc"),
        ("mount", "-t", "proc", "proc", f"{ROOT}/proc"),
        ("cp", f"{JOB.job}/files.tar", f"{ROOT}/.vct-files.tar"),
        (
            *("chroot", ROOT, "tar", "--no-overwrite-dir", "--keep-directory-symlink"),
            *("-xpf", "/.vct-files.tar"),
        ),
        ("chroot", ROOT, "/bin/sh", "-ec", "date"),
        ("chroot", ROOT, "/bin/sh", "-ec", "cd /etc\nls\n"),
        ("chroot", ROOT, "/bin/sh", "-ec", TIDY),
        ("umount", f"{ROOT}/proc"),
        ("cp", "-a", "--reflink=auto", ROOT, "/images/tmp/job/image/root"),
    ]


def test_only_what_fetches_packages_has_a_network(base: Recipe, layer: Recipe) -> None:
    steps = [*bootstrap_steps(base, "amd64", SOURCES, JOB, 0), *layer_steps(layer, PARENT, JOB, 0)]
    assert {step.argv[0] for step in steps if step.network} == {"mmdebstrap", "apt-get"}


def test_steps_say_which_key_of_the_recipe_they_come_from(layer: Recipe) -> None:
    keys = [step.key for step in layer_steps(layer, PARENT, JOB, 0) if step.key]
    assert keys == ["packages", "packages", "files", "run[0]", "run[1]"]
    assert set(keys) <= set(layer.places)


def test_a_command_is_titled_by_its_first_line(layer: Recipe) -> None:
    titles = [step.title for step in layer_steps(layer, PARENT, JOB, 0) if step.key[:3] == "run"]
    assert titles == ["run date", "run cd /etc"]


def test_what_packages_leave_out_holds_for_later_layers_too(layer: Recipe) -> None:
    assert render_dpkg_conf(layer) == "path-exclude=/usr/share/man/*\n"


def test_apt_is_told_the_way_to_the_mirror_and_to_be_patient() -> None:
    conf = render_apt_conf("amd64", ['Acquire::http::Proxy "http://p";'], None)
    assert 'Acquire::http::Proxy "http://p";\n' in conf
    assert 'Acquire::Retries "3";\n' in conf
    assert "Dir" not in conf


def test_the_hosts_apt_works_on_the_new_root_only() -> None:
    conf = render_apt_conf("i386", [], Path("/r"))
    for line in (
        'Dir "/r";',
        'DPkg::Chroot-Directory "/r";',
        'Dir::State::status "/r/var/lib/dpkg/status";',
        'APT::Architecture "i386";',
        'APT::Architectures { "i386"; };',
    ):
        assert f"{line}\n" in conf
