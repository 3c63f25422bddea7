"""Layers of a container, and the configuration of runs: pure, and the start script's refusals."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from vct.drivers import process
from vct.drivers.layers import (
    FALL_BACK_SCRIPT,
    START_SCRIPT,
    Layers,
    fall_back,
    start_arguments,
)
from vct.drivers.lxc_config import INIT, root_in
from vct.drivers.run_config import IDLE, group_of, render_run, write_below
from vct.errors import UsageError
from vct.paths import Home
from vct.verbs import image_run

DIRECTORY = Layers(image=Path("/i/root"), place=Path("/p"))
PACKED = Layers(image=Path("/i/root.squashfs"), place=Path("/p"))
RUN = Home(root=Path("/h"), run=Path("/r")).image_run("mine")


def rendered(root: str = DIRECTORY.root, *, cgroup2: bool = False) -> str:
    return render_run(RUN, root=root, init=IDLE, arch="i386", image="small", cgroup2=cgroup2)


def test_it_works() -> None:
    assert DIRECTORY.root == "overlay:/i/root:/p/disk/delta"


def test_a_squashfs_file_is_seen_where_it_is_mounted() -> None:
    assert PACKED.root == "overlay:/p/lower:/p/disk/delta"


def test_a_directory_below_comes_after_the_image() -> None:
    assert replace(PACKED, below=Path("/b")).root == "overlay:/p/lower:/b:/p/disk/delta"


def test_a_system_of_a_node_has_a_writable_layer_of_its_own() -> None:
    assert replace(DIRECTORY, system=3).root == "overlay:/i/root:/p/disk/systems/3/upper"


def test_a_trial_is_where_it_can_be_exchanged() -> None:
    trial = replace(DIRECTORY, system=2, trial=True)
    assert trial.root == "overlay:/p/trial/lower:/p/trial/system/upper"


def test_a_trial_says_what_takes_its_place() -> None:
    trial = replace(DIRECTORY, system=2, trial=True, place=Path("/my place"))
    words = shlex.split(fall_back(trial, Path("/i/old"), 1, Path("/my place/systems.json")))
    assert words[:2] == ["sh", str(FALL_BACK_SCRIPT)]
    assert words[2:] == [
        "/my place/systems.json",
        "2",
        "/i/old",
        "/my place/trial/lower",
        "/my place/disk",
        "1",
        "/my place/trial/system/upper",
    ]


@pytest.mark.parametrize("firmware", [True, False])
@pytest.mark.parametrize("trial_has", [True, False])
@pytest.mark.parametrize("old_has", [True, False])
def test_what_is_fallen_back_to_boots_with_the_agent_that_it_had(
    tmp_path: Path, *, firmware: bool, trial_has: bool, old_has: bool
) -> None:
    """The programs that mount do nothing here: the old image is in its place already."""
    layers = replace(DIRECTORY, system=2, trial=True, place=tmp_path)
    inittab, record = tmp_path / "node" / "inittab", tmp_path / "systems.json"
    for place in ("bin", "node/confine", "trial/lower/etc/vct"):
        (tmp_path / place).mkdir(parents=True)
    for program in ("mount", "umount"):
        (tmp_path / "bin" / program).symlink_to("/bin/true")
    if firmware:
        (tmp_path / "node/confine/node.json").touch()
    for end in ["", ".agent"] if old_has else [""]:
        (layers.lower / f"etc/vct/inittab.full{end}").touch()
    inittab.symlink_to("/etc/vct/inittab.full" + ".agent" * trial_has)
    record.write_text('{\n "trial": 2,\n "last": 2\n}\n')
    process.run(
        shlex.split(fall_back(layers, Path("/i/old"), 1, record)),
        env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "LXC_TARGET": "reboot"},
    )
    with_agent = firmware and old_has
    assert str(inittab.readlink()) == "/etc/vct/inittab.full" + ".agent" * with_agent


def test_every_container_has_as_many_words_for_the_start_script() -> None:
    words = start_arguments(DIRECTORY, Path("/l"), "one", INIT)
    more = start_arguments(replace(PACKED, below=Path("/b")), Path("/l"), "two", INIT)
    assert len(words) == len(more) == 12


def test_a_run_has_its_root_and_an_init_that_no_host_has() -> None:
    text = rendered()
    assert root_in(text) == DIRECTORY.root
    assert f"\nlxc.init.cmd = {IDLE}\n" in text
    assert not Path(IDLE).exists()


def test_a_run_mounts_nothing_over_etc() -> None:
    entries = [line for line in rendered().splitlines() if line.startswith("lxc.mount.entry")]
    assert entries
    assert not [line for line in entries if "etc" in line]


def test_a_run_has_no_network_and_its_own_architecture() -> None:
    lines = rendered().splitlines()
    assert "lxc.net.0.type = empty" in lines
    assert "lxc.arch = i686" in lines


def test_devices_are_allowed_in_the_hosts_kind_of_control_groups() -> None:
    assert "lxc.cgroup.devices.deny = a" in rendered()
    assert "lxc.cgroup2.devices.deny = a" in rendered(cgroup2=True)


def test_runs_of_two_state_roots_have_different_control_groups() -> None:
    assert group_of(Path("/a/runs"), "mine") != group_of(Path("/b/runs"), "mine")


def test_a_runs_lock_is_no_testbeds() -> None:
    home = Home(root=Path("/h"), run=Path("/r"))
    assert home.image_run("ring").lock != home.testbed("ring").lock


def test_the_layer_below_has_two_inits(tmp_path: Path) -> None:
    write_below(tmp_path)
    write_below(tmp_path)  # again, as after a crash
    assert (tmp_path / "etc/vct/init").readlink() == Path("/sbin/init")
    assert (tmp_path / "etc/vct/idle").stat().st_mode & 0o777 == 0o755


# --- the guards -----------------------------------------------------------------------------------


def start_script(**changed: str) -> process.Completed:
    """Run the start script with one wrong word."""
    names = (
        "disk_image", "disk", "image", "lower", "below", "lxc_path", "name", "root", "init",
        "upper", "system", "kept",
    )  # fmt: skip
    words = dict(zip(names, start_arguments(DIRECTORY, Path("/l"), "n", INIT), strict=True))
    return process.run(["sh", str(START_SCRIPT), *(words | changed).values()], check=False)


@pytest.mark.parametrize(
    "changed",
    [
        {"root": ""},
        {"root": "overlay::"},
        {"root": "/"},
        {"root": "overlay:/i/other:/p/disk/delta"},
        {"root": "overlay:/i/root:/p/disk"},
        {"lower": "", "root": "overlay::/p/disk/delta"},
        {"disk": "", "root": "overlay:/i/root:/delta"},
        {"init": ""},
        {"init": "/sbin/init"},
        {"below": "/b"},
        {"upper": "/p/disk/other"},
        {"upper": "/elsewhere", "root": "overlay:/i/root:/elsewhere"},
        {"upper": "", "root": "overlay:/i/root:"},
        {"system": "../.."},
    ],
    ids=str,
)
def test_the_start_script_refuses_before_it_mounts_anything(changed: dict[str, str]) -> None:
    done = start_script(**changed)
    assert done.code == 9
    assert done.stderr


# --- what the verbs say about state ---------------------------------------------------------------


def test_no_runs_are_no_error(tmp_path: Path) -> None:
    assert image_run.runs(Home(root=tmp_path)) == []


def test_a_directory_without_our_mark_is_no_run(tmp_path: Path) -> None:
    home = Home(root=tmp_path)
    (home.image_runs / "theirs").mkdir(parents=True)
    assert image_run.runs(home) == []


def test_a_half_made_run_is_seen_as_one(tmp_path: Path) -> None:
    home = Home(root=tmp_path)
    paths = home.image_run("half")
    paths.root.mkdir(parents=True)
    paths.mark.touch()
    (seen,) = image_run.runs(home)
    assert (seen.name, seen.run, seen.running) == ("half", None, False)


def test_a_damaged_record_counts_as_half_made(tmp_path: Path) -> None:
    home = Home(root=tmp_path)
    paths = home.image_run("half")
    paths.root.mkdir(parents=True)
    paths.mark.touch()
    paths.record.write_text(json.dumps({"name": "half", "colour": "red"}))
    assert image_run.runs(home)[0].run is None


@pytest.mark.parametrize(
    ("wanted", "temporary"),
    [
        (image_run.Wanted(image="i"), True),
        (image_run.Wanted(image="i", name="n"), False),
        (image_run.Wanted(image="i", name="n", remove=True), True),
    ],
)
def test_only_a_named_run_is_kept(wanted: image_run.Wanted, temporary: bool) -> None:
    assert wanted.temporary is temporary


@pytest.mark.parametrize("name", ["Mine", "a/b", "..", "-a", "a-", "a" * 49, "a_b"])
def test_a_bad_name_is_refused(tmp_path: Path, name: str) -> None:
    wanted = image_run.Wanted(image="i", name=name)
    with pytest.raises(UsageError), image_run.running(Home(root=tmp_path), wanted):
        pass
