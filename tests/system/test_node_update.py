"""Updates of real nodes, to images that boot and to images that do not; and the way back.

The images are the node image with a change or two, in a store of the tests' own. All tests share a
testbed; each leaves it with nodes that are up, whatever they have.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM
from typing import Any

import pytest

from tests.system.conftest import new_bed
from tests.system.trouble import lines_of, node_pids, paths_of, reboot, talking, until
from tests.system.update_images import CHANGES, UpdateBed, add_image, make_images
from vct.build import store
from vct.drivers import process
from vct.drivers.node_systems import load_systems

PAIR = """\
nodes: {"0001": {disk: 64MiB}, "0002": {disk: 64MiB}}
links: [{between: ["0001", "0002"], rate: 50mbit}]
"""
KEY = "cat /etc/vct/node/ssh_host_ed25519_key.pub"


@pytest.fixture(scope="module")
def shared(node_image: Path) -> Iterator[UpdateBed]:
    with new_bed() as bed:
        images = bed.home.with_name(f"{bed.home.name}-images")
        try:
            make_images(images)
            yield UpdateBed(home=bed.home, name=bed.name, images=images)
        finally:
            bed.vct("cleanup", "--flush", check=False)
            shutil.rmtree(images, ignore_errors=True)


@pytest.fixture
def pair(shared: UpdateBed) -> UpdateBed:
    """Two nodes that were never updated, with a note in each that only its first system has."""
    nodes = paths_of(shared).nodes
    if (
        not nodes.is_dir()
        or list(nodes.glob("*/systems.json"))
        or list(nodes.glob("*/node/confine"))
    ):
        shared.vct("cleanup", "--flush", check=False)
    shared.init(PAIR)
    shared.sh("all", "echo mine >/root/note; echo kept >/persist/note; rm -f /root/big")
    return shared


def update(bed: UpdateBed, *words: str, verb: str = "update") -> list[Any]:
    done = bed.vct("--json", "node", verb, *words, check=False)
    assert done.code in (0, 1), done.stderr
    results: list[Any] = json.loads(done.stdout)
    bad = [
        result["outcome"] for result in results if result["outcome"] in ("fell back", "not begun")
    ]
    assert done.code == int(bool(bad))
    return results


def outcome(bed: UpdateBed, *words: str, verb: str = "update") -> tuple[str, str]:
    (result,) = update(bed, *words, verb=verb)
    return result["outcome"], result["reason"]


def said(bed: UpdateBed, script: str, node: str = "0001") -> str:
    return str(bed.sh(node, script, check=False).stdout)


def has_first(bed: UpdateBed, node: str = "0001") -> bool:
    """Whether a node is up with the system that it was made with, and all that was in it."""
    return said(bed, "cat /root/note /persist/note; ls /etc/second /etc/silent 2>&-", node) == (
        "mine\nkept\n"
    )


def is_as_wanted(bed: UpdateBed) -> bool:
    return not bed.init(PAIR)["changed"]


def on_disk(bed: UpdateBed, node: str, script: str) -> str:
    """What a script says in a stopped node's disk, mounted for nobody else."""
    place = bed.home / "look"
    place.mkdir()
    words = [f'mount -o loop "$1" "$2"; cd "$2"; {script}', "sh"]
    image = str(paths_of(bed).node(node).disk_image)
    try:
        return process.run(["unshare", "--mount", "sh", "-ec", *words, image, str(place)]).stdout
    finally:
        place.rmdir()


def systems_on(bed: UpdateBed, node: str = "0001") -> list[str]:
    """The writable layers on a stopped node's disk."""
    return on_disk(bed, node, "ls systems").split()


def test_it_works(pair: UpdateBed) -> None:
    key = said(pair, KEY)
    assert outcome(pair, "0001", "--image", "second") == ("updated", "")
    assert said(pair, "cat /etc/second /persist/note; ls /root/note 2>&-") == "second\nkept\n"
    assert said(pair, KEY) == key
    assert has_first(pair, "0002")


def test_init_has_nothing_to_do_with_an_updated_node_until_the_file_names_another_image(
    pair: UpdateBed,
) -> None:
    update(pair, "all", "--image", "second")
    assert is_as_wanted(pair)
    assert pair.json("status")["nodes"][0]["image"].startswith("second@")
    named = PAIR.replace("64MiB}", "64MiB, image: third}", 1)
    assert pair.init(named)["change"] == 1
    assert said(pair, "cat /etc/third") == "third\n"
    assert said(pair, "cat /etc/second", "0002") == "second\n"


def test_an_updated_node_reboots_and_starts_into_what_it_was_updated_to(pair: UpdateBed) -> None:
    update(pair, "0001", "--image", "second")
    was = node_pids(pair)["0001"]
    pair.sh("0001", "echo more >/root/more; reboot", check=False)
    until(lambda: node_pids(pair).get("0001", was) != was, "the reboot")
    assert said(pair, "cat /etc/second /root/more") == "second\nmore\n"
    pair.vct("node", "restart", "0001")
    assert said(pair, "cat /etc/second /root/more") == "second\nmore\n"
    pair.vct("cleanup")
    pair.init(PAIR)
    assert said(pair, "cat /etc/second /root/more") == "second\nmore\n"


def test_an_update_without_a_name_is_to_the_image_of_the_file_as_it_is_by_now(
    pair: UpdateBed,
) -> None:
    old = store.find_image(pair.images, "node-debian", "amd64")
    assert outcome(pair, "0001") == ("unchanged", "")
    add_image(pair.images, old.path, "node-debian", CHANGES["third"], build=2)
    try:
        assert outcome(pair, "0001") == ("updated", "")
        assert said(pair, "cat /etc/third /persist/note; ls /root/note 2>&-") == "third\nkept\n"
        assert outcome(pair, "0001", verb="rollback") == ("updated", "")
        assert has_first(pair)
    finally:
        store.point(pair.images, "node-debian", "amd64", old.digest)


def test_an_update_can_be_to_a_digest_and_to_a_squashfs(pair: UpdateBed) -> None:
    digest = pair.digest("packed")
    assert outcome(pair, "0001", "--to", digest[:12]) == ("updated", "")
    assert said(pair, "cat /etc/second") == "second\n"
    assert outcome(pair, "0001", "--image", "third") == ("updated", "")
    assert outcome(pair, "0001", verb="rollback") == ("updated", "")
    pair.vct("node", "restart", "0001")
    assert said(pair, "cat /etc/second") == "second\n"


def test_going_back_and_forth_finds_what_was_written(pair: UpdateBed) -> None:
    update(pair, "0001", "--image", "second")
    pair.sh("0001", "echo more >/root/more; echo changed >/persist/note")
    update(pair, "0001", verb="rollback")
    assert said(pair, "cat /root/note /persist/note; ls /root/more 2>&-") == "mine\nchanged\n"
    assert is_as_wanted(pair)
    update(pair, "0001", verb="rollback")
    assert said(pair, "cat /etc/second /root/more") == "second\nmore\n"


def test_a_node_that_was_never_updated_has_no_way_back(pair: UpdateBed) -> None:
    done = pair.vct("node", "rollback", "0001", check=False)
    assert done.code == 4
    assert "no system to go back to" in done.stderr
    assert has_first(pair)


def test_a_disk_keeps_two_systems_and_no_more(pair: UpdateBed) -> None:
    for image in ("second", "third", "packed"):
        update(pair, "0001", "--image", image)
    pair.vct("node", "restart", "0001")
    pair.vct("node", "stop", "0001")
    assert systems_on(pair) == ["3", "4"]
    pair.vct("node", "start", "0001")


def test_images_that_nodes_have_or_can_go_back_to_are_not_freed(pair: UpdateBed) -> None:
    first = store.find_image(pair.images, "node-debian", "amd64")
    update(pair, "0001", "--image", "third")
    link = pair.images / "names" / "node-debian.amd64"
    link.unlink()
    try:
        freed = pair.json("--dry-run", "image", "gc")["images"]
    finally:
        store.point(pair.images, "node-debian", "amd64", first.digest)
    assert first.digest not in freed


# --- images that are no good ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ("panics", "ended by itself"),
        ("silent", "ssh server does not answer"),
        ("restless", "rebooted by itself"),
    ],
)
def test_a_node_falls_back_from_a_system_that_is_not_well(
    pair: UpdateBed, image: str, reason: str
) -> None:
    word, why = outcome(pair, "0001", "--image", image, "--timeout", "3")
    assert word == "fell back"
    assert reason in why
    assert has_first(pair)
    assert is_as_wanted(pair)
    pair.vct("node", "restart", "0001")
    pair.vct("node", "stop", "0001")
    assert systems_on(pair) == ["1"]


def test_a_node_that_falls_back_from_a_system_without_agent_has_its_agent_again(
    pair: UpdateBed,
) -> None:
    """By itself, when nobody is there to see it."""
    config, inittab = paths_of(pair).node("0001").confine.config, "readlink /etc/vct/node/inittab"
    config.parent.mkdir()
    config.write_text("{}")
    running = talking(pair, "node", "update", "0001", "--image", "agentless", "--timeout", "90")
    until(lambda: said(pair, inittab) == "/etc/vct/inittab.fast\n", "the trial")
    until(lambda: not said(pair, "ls /root/note 2>&-"), "its boot")
    running.send_signal(SIGKILL)
    running.communicate()
    pair.sh("0001", "reboot", check=False)
    until(lambda: has_first(pair), "the first system")
    assert said(pair, inittab) == "/etc/vct/inittab.fast.agent\n"
    until(lambda: said(pair, "pgrep -f '[a]gent.py'") != "", "its agent")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--image", "bare"), "no /etc/vct/init"),
        (("--image", "never-built"), "is not built"),
        (("--image", "second", "--to", "0123456"), "give one of them"),
        (("--to", "i386"), "is for i386"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_before_a_node_is_touched(
    pair: UpdateBed, words: tuple[str, ...], problem: str
) -> None:
    before = node_pids(pair)
    told = [pair.digest("second", "i386") if word == "i386" else word for word in words]
    done = pair.vct("node", "update", "all", *told, check=False)
    assert done.code in (1, 2, 4)
    assert problem in done.stderr
    assert node_pids(pair) == before


def test_a_full_disk_is_refused_before_a_node_is_touched(pair: UpdateBed) -> None:
    pair.sh("0001", "dd if=/dev/zero of=/root/big bs=1M", check=False)
    before = node_pids(pair)
    running = pair.vct("node", "update", "0001", "--image", "second", check=False)
    pair.vct("node", "stop", "0001")
    stopped = pair.vct("node", "update", "0001", "--image", "second", check=False)
    assert (running.code, stopped.code) == (4, 4)
    assert "disk of node 0001 is full" in running.stderr
    assert before["0002"] == node_pids(pair)["0002"]


def test_a_stopped_node_is_started_by_an_update_and_stopped_if_it_falls_back(
    pair: UpdateBed,
) -> None:
    pair.vct("node", "stop", "0001")
    assert outcome(pair, "0001", "--image", "silent", "--timeout", "2")[0] == "fell back"
    assert "0001" not in node_pids(pair)
    assert outcome(pair, "0001", "--image", "second") == ("updated", "")
    assert said(pair, "cat /etc/second") == "second\n"


def test_a_node_with_firmware_is_well_when_its_agent_says_so(pair: UpdateBed) -> None:
    config = paths_of(pair).node("0001").confine.config
    config.parent.mkdir()
    config.write_text("{}")
    limit = ("--timeout", "3")
    word, why = outcome(pair, "0001", "--image", "failing", *limit)
    assert (word, why.split()[-1]) == ("fell back", "failure")
    word, why = outcome(pair, "0001", "--image", "crashing", *limit)
    assert (word, "its agent does not answer" in why) == ("fell back", True)
    assert outcome(pair, "0001", "--image", "second", *limit)[0] == "fell back"  # it has none
    assert outcome(pair, "0001", "--image", "safe", *limit) == ("updated", "")


def test_a_dry_run_says_what_it_would_do_and_does_nothing(pair: UpdateBed) -> None:
    before = node_pids(pair)
    planned = pair.json("--dry-run", "node", "update", "all", "--image", "second")
    assert [(one["node"], one["changes"], one["system"]) for one in planned] == [
        ("0001", True, 2),
        ("0002", True, 2),
    ]
    assert node_pids(pair) == before
    assert not paths_of(pair).node("0001").systems.exists()


# --- interrupted, killed, at the same time --------------------------------------------------------


def on_trial(bed: UpdateBed, *words: str) -> process.Process:
    """An update that has a node on trial in an image that is never well, and goes on."""
    running = talking(bed, "node", "update", "0001", "--image", "silent", "--timeout", "90", *words)
    until(lambda: said(bed, "cat /etc/silent") == "silent\n", "the trial")
    return running


@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
def test_an_interrupted_update_goes_back(pair: UpdateBed, number: int) -> None:
    running = on_trial(pair)
    running.send_signal(number)
    told = json.loads(running.communicate(timeout=60)[0])
    assert told["exit_code"] == 130
    assert has_first(pair)
    assert is_as_wanted(pair)


def test_an_update_that_is_interrupted_at_once_goes_back(pair: UpdateBed) -> None:
    begun = len(lines_of(pair))
    running = talking(pair, "node", "update", "all", "--image", "second")
    until(lambda: len(lines_of(pair)) > begun, "the beginning")
    running.send_signal(SIGINT)
    running.communicate(timeout=60)
    assert running.returncode == 130
    assert is_as_wanted(pair)


def reboots_itself(bed: UpdateBed) -> None:
    bed.sh("0001", "reboot", check=False)


def is_started_again(bed: UpdateBed) -> None:
    bed.vct("node", "stop", "--kill", "0001")
    bed.vct("node", "start", "0001")


def is_initialised(bed: UpdateBed) -> None:
    assert bed.init(PAIR)["change"] == 1


def crashes(bed: UpdateBed) -> None:
    bed.sh("0001", "kill -9 -1; kill -9 1", check=False)
    process.run(["kill", "-9", str(node_pids(bed)["0001"])])
    until(lambda: "0001" not in node_pids(bed), "the crash")
    bed.vct("node", "start", "0001")


def loses_its_host(bed: UpdateBed) -> None:
    reboot(bed)
    bed.init(PAIR)


@pytest.mark.parametrize(
    "then", [reboots_itself, is_started_again, is_initialised, crashes, loses_its_host]
)
def test_after_a_kill_of_vct_the_next_start_is_of_what_was_there(
    pair: UpdateBed, then: Callable[[UpdateBed], None]
) -> None:
    running = on_trial(pair)
    running.send_signal(SIGKILL)
    running.communicate()
    assert said(pair, "cat /etc/silent") == "silent\n"
    then(pair)
    until(lambda: has_first(pair), "the first system")
    pair.init(PAIR)
    assert is_as_wanted(pair)
    assert has_first(pair)
    assert outcome(pair, "0001", "--image", "second") == ("updated", "")


def test_an_update_killed_anywhere_leaves_a_node_that_init_brings_up(pair: UpdateBed) -> None:
    for after_s in (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 1.4):
        running = talking(pair, "node", "update", "0001", "--image", "second")
        begun = len(lines_of(pair))
        until(lambda: len(lines_of(pair)) > begun or running.poll() is not None, "a line")  # noqa: B023
        time.sleep(after_s)
        running.send_signal(SIGKILL)
        running.wait()
        pair.init(PAIR)
        assert is_as_wanted(pair)
        current = load_systems(paths_of(pair).node("0001")).current
        assert (said(pair, "cat /etc/second") == "second\n") is (current > 1)
        if current > 1:
            update(pair, "0001", verb="rollback")


def test_two_updates_at_a_time_are_one(pair: UpdateBed) -> None:
    running = on_trial(pair)
    second = pair.vct("node", "update", "0002", "--image", "second", check=False)
    init = pair.vct("init", str(pair.file(PAIR)), check=False)
    running.send_signal(SIGINT)
    running.communicate(timeout=60)
    assert (second.code, init.code) == (4, 4)
    assert "another vct works on testbed" in second.stderr


# --- nodes of older versions ---------------------------------------------------------------------


def test_a_disk_of_an_older_vct_is_taken_over(pair: UpdateBed) -> None:
    """It had one writable layer, and its configuration said nothing of systems."""
    pair.vct("node", "stop", "0001")
    on_disk(pair, "0001", "mv systems/1/upper delta; rm -r systems persist")
    (mounted,) = pair.json("node", "mount", "0001").values()
    assert (Path(mounted) / "root/note").read_text() == "mine\n"
    pair.vct("node", "unmount", "0001")
    pair.vct("node", "start", "0001")
    assert said(pair, "cat /root/note; ls /persist/note 2>&-") == "mine\n"
    assert outcome(pair, "0001", "--image", "second") == ("updated", "")
    update(pair, "0001", verb="rollback")
    assert said(pair, "cat /root/note") == "mine\n"


def test_a_mounted_node_is_what_it_would_boot(pair: UpdateBed) -> None:
    update(pair, "0001", "--image", "second")
    pair.sh("0001", "echo more >/root/more")
    pair.vct("node", "stop", "0001")
    (mounted,) = pair.json("node", "mount", "0001").values()
    try:
        found = [Path(mounted) / name for name in ("etc/second", "root/more", "persist/note")]
        assert [file.read_text() for file in found] == ["second\n", "more\n", "kept\n"]
    finally:
        pair.vct("node", "unmount", "0001")
    pair.vct("node", "start", "0001")
