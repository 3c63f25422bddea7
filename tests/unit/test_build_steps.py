"""The exact programs that make an image."""

from __future__ import annotations

from pathlib import Path

import pytest

from vct.build.apt import AptSource
from vct.build.mirror import Snapshot
from vct.build.places import Places
from vct.build.steps import TIDYING, Step, copy_steps, layer_steps, squashfs_steps, work_steps
from vct.build.suites import suite_of
from vct.build.supplies import Supplies
from vct.build.tool_files import render_apt_conf, render_dpkg_conf, render_hooks
from vct.model.recipe import Recipe, parse_recipe

JOB = Places(job=Path("/images/tmp/job"))
WORK, ROOT = "/images/tmp/job/work", "/images/tmp/job/work/root"
LAYER = f"{WORK}/layer"
SOURCE = AptSource(uri="http://m/debian", suite="bookworm", components=("main",), signed_by="/k.g")
SUPPLIES = Supplies(
    snapshot=Snapshot(
        arch="amd64",
        directory=Path("/images/cache/mirror/x"),
        taken=0.0,
        used=(SOURCE,),
        left_out=(),
        releases=(),
        options=('Acquire::http::Proxy "http://p";',),
    ),
    directory=Path("/images/tmp/job/apt"),
)
PREPARE = [("mkdir", "-m", "755", LAYER, f"{LAYER}/upper")]
MOUNT = [
    *PREPARE,
    ("mkdir", f"{LAYER}/overlay"),
    (
        *("env", "-C", "/images/tmp/job/below", "mount", "-t", "overlay", "-o"),
        f"lowerdir=2:1:0,upperdir={LAYER}/upper,workdir={LAYER}/overlay,"
        "redirect_dir=off,index=off,metacopy=off",
        *("overlay", ROOT),
    ),
    ("mount", "-t", "proc", "proc", f"{ROOT}/proc"),
]
KEEP = [
    ("cp", "-a", "--reflink=auto", f"{LAYER}/upper", "/images/tmp/job/layer"),
    ("rm", "-rf", "--one-file-system", LAYER),
]
END = [("umount", "--recursive", ROOT), *KEEP]
NO_SERVICES = (
    "install",
    "-m",
    "755",
    "/images/tmp/job/policy-rc.d",
    f"{ROOT}/usr/sbin/policy-rc.d",
)
SERVICES = ("rm", "-f", f"{ROOT}/usr/sbin/policy-rc.d")


@pytest.fixture
def base(tmp_path: Path) -> Recipe:
    text = "name: tiny\nkind: base\nbootstrap: {suite: bookworm}\npackages: [netbase, less]\n"
    return parse_recipe(text, tmp_path / "tiny.yaml", "i386")


@pytest.fixture
def layer(tmp_path: Path) -> Recipe:
    (tmp_path / "images").mkdir()
    (tmp_path / "recipes").mkdir()
    text = (
        "name: tiny\nkind: node\nfrom: base\npackages: [curl]\nexclude: [/usr/share/man/*]\n"
        "files: images\nrun:\n  - date\n  - |\n    cd /etc\n    ls\n"
    )
    return parse_recipe(text, tmp_path / "recipes" / "tiny.yaml")


def steps_of(label: str, recipe: Recipe) -> list[Step]:
    return layer_steps(label, recipe, SUPPLIES, JOB, 3, Path("/images/cache/fetched"))


def argvs(steps: list[Step]) -> list[tuple[str, ...]]:
    return [step.argv for step in steps]


def test_it_works(base: Recipe) -> None:
    assert argvs(steps_of("bootstrap", base)) == [
        *PREPARE,
        (
            "mmdebstrap",
            "--mode=root",
            "--format=directory",
            "--variant=minbase",
            "--architectures=i386",
            "--include=netbase,less",
            "--aptopt=/images/tmp/job/apt.conf",
            "--dpkgopt=/images/tmp/job/dpkg.conf",
            *(f"--hook-directory={hook}" for hook in suite_of("bookworm").hooks),
            "--hook-directory=/images/tmp/job/hooks",
            "--skip=check/qemu,essential/unlink,update",
            "bookworm",
            f"{LAYER}/upper",
            "deb [signed-by=/k.g] http://m/debian bookworm main",
        ),
        (
            *("install", "-m", "644", "/images/tmp/job/apt/wanted.list"),
            f"{LAYER}/upper/etc/apt/sources.list",
        ),
        *KEEP,
    ]


def test_packages_are_installed_by_the_hosts_apt_from_the_archive_cache(layer: Recipe) -> None:
    archives = f"{ROOT}/var/cache/apt/archives"
    get = ("apt-get", "--yes", "-o", "APT::Update::Error-Mode=any")
    kept = f"{ROOT}/etc/dpkg/dpkg.cfg.d/vct-tiny"
    assert argvs(steps_of("packages", layer)) == [
        *MOUNT,
        ("install", "-m", "644", "/images/tmp/job/dpkg.conf", kept),
        ("mkdir", "-p", archives),
        ("mount", "--bind", "/images/tmp/job/archives", archives),
        NO_SERVICES,
        (*get, "install", "--no-install-recommends", "curl"),
        SERVICES,
        *END,
    ]


def test_files_are_unpacked_inside_where_links_are_the_roots_own(layer: Recipe) -> None:
    unpack = ("tar", "--no-overwrite-dir", "--keep-directory-symlink", "-xpf", "/.vct-files.tar")
    assert argvs(steps_of("files", layer)) == [
        *MOUNT,
        ("cp", "/images/tmp/job/files.tar", f"{ROOT}/.vct-files.tar"),
        ("chroot", ROOT, *unpack),
        ("rm", f"{ROOT}/.vct-files.tar"),
        *END,
    ]


def test_a_command_is_a_layer_of_its_own(layer: Recipe) -> None:
    command = ("chroot", ROOT, "/bin/sh", "-ec", "cd /etc\nls\n")
    assert argvs(steps_of("run[1]", layer)) == [*MOUNT, NO_SERVICES, command, SERVICES, *END]


def test_the_last_layer_removes_the_traces_of_building(layer: Recipe) -> None:
    assert argvs(steps_of("tidy", layer)) == [
        *MOUNT,
        ("chroot", ROOT, "/bin/sh", "-ec", TIDYING),
        *END,
    ]


def test_the_work_is_done_in_memory_if_there_is_enough() -> None:
    assert ("mount", "-t", "tmpfs", "-o", "size=4000m,mode=755", "work", WORK) in argvs(
        work_steps(JOB, 4000, None)
    )
    assert all(argv[0] == "mkdir" for argv in argvs(work_steps(JOB, 0, None)))


def test_a_parent_that_is_a_squashfs_is_mounted_by_a_loop() -> None:
    packed = Path("/images/store/abc/root.squashfs")
    mount = ("mount", "-t", "squashfs", "-o", "loop,ro", str(packed), f"{WORK}/parent")
    assert argvs(work_steps(JOB, 0, packed))[-1] == mount


def test_a_squashfs_is_the_same_whenever_it_is_made() -> None:
    pack = squashfs_steps(JOB, 3, 15)[-1]
    assert pack.argv == (
        *("mksquashfs", ROOT, "/images/tmp/job/image/root.squashfs"),
        *("-comp", "zstd", "-Xcompression-level", "15"),
        *("-noappend", "-no-exports", "-no-progress", "-xattrs"),
    )


def test_what_cannot_be_linked_is_copied() -> None:
    copy = ("cp", "-a", "--reflink=auto", ROOT, "/images/tmp/job/image/root")
    assert argvs(copy_steps(JOB, 3))[-1] == copy


def test_only_what_fetches_packages_has_a_network(base: Recipe, layer: Recipe) -> None:
    steps = steps_of("bootstrap", base)
    for label in ("packages", "files", "run[0]", "tidy"):
        steps += steps_of(label, layer)
    assert {step.argv[0] for step in steps if step.network} == {"mmdebstrap", "apt-get"}


@pytest.mark.parametrize("label", ["packages", "files", "run[0]", "run[1]"])
def test_steps_say_which_key_of_the_recipe_they_come_from(label: str, layer: Recipe) -> None:
    assert {step.key for step in steps_of(label, layer) if step.title} == {label}
    assert label in layer.places


def test_a_command_is_titled_by_its_first_line(layer: Recipe) -> None:
    assert [step.title for step in steps_of("run[1]", layer) if step.title] == ["run cd /etc"]


# --- configuration files -------------------------------------------------------------------------


def test_what_packages_leave_out_holds_for_later_layers_too(layer: Recipe) -> None:
    assert render_dpkg_conf(layer) == "path-exclude=/usr/share/man/*\n"


def test_apt_is_told_the_way_to_the_mirror() -> None:
    conf = render_apt_conf("amd64", [], None, SUPPLIES)
    assert 'Acquire::http::Proxy "http://p";\n' in conf
    assert "Dir" not in conf


def test_apt_is_patient_where_nothing_is_known_of_the_mirror() -> None:
    assert 'Acquire::Retries "3";\n' in render_apt_conf("amd64", [], None, None)


def test_the_hosts_apt_works_on_the_new_root_only() -> None:
    conf = render_apt_conf("i386", [], JOB, SUPPLIES)
    for line in (
        f'Dir "{ROOT}";',
        f'DPkg::Chroot-Directory "{ROOT}";',
        f'Dir::State::status "{ROOT}/var/lib/dpkg/status";',
        'Dir::State::lists "/images/tmp/job/apt/lists";',
        'APT::Architecture "i386";',
        'APT::Architectures { "i386"; };',
    ):
        assert f"{line}\n" in conf


def test_mmdebstrap_gives_the_archive_cache_back_before_it_cleans_up() -> None:
    hooks = render_hooks(Places(job=Path("/images/a b")))
    assert "mount --bind '/images/a b/archives' \"$1/var/cache/apt/archives\"" in "".join(
        text for name, text in hooks.items() if name.startswith("setup")
    )
    assert hooks["customize99-archives"].splitlines()[1] == 'umount "$1/var/cache/apt/archives"'
