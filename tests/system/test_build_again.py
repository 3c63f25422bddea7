"""Built again: the same sha256 for the same inputs, and what differs is named where it is not."""

from __future__ import annotations

import os
import signal

import pytest

from tests.system.workshop import DEADLINE_S, Workshop, wait_until
from vct.build import store, usage
from vct.build.verify import tree_digest
from vct.drivers import process


def image(workshop: Workshop, name: str) -> store.Image:
    return store.find_image(workshop.images, name, "amd64")


def layers(workshop: Workshop, name: str) -> dict[str, str]:
    planned = workshop.json("--dry-run", "build", name)[-1]
    return {layer["layer"]: layer["action"] for layer in planned["layers"]}


def test_it_works(clean: Workshop) -> None:
    """A failing step is resumed at that step."""
    clean.write("resumed", "run: ['date >/etc/first', 'exit 3', 'date >/etc/third']")
    assert clean.vct("build", "resumed").code == 1
    clean.write("resumed", "run: ['date >/etc/first', 'true', 'date >/etc/third']")
    assert layers(clean, "resumed")["run[0]"] == "kept"
    assert clean.vct("build", "resumed").code == 0
    log = (clean.images / "logs" / "resumed.amd64.log").read_text()
    assert "/etc/third" in log
    assert "/etc/first" not in log
    assert (image(clean, "resumed").root / "etc" / "first").exists()


def test_a_changed_last_step_is_the_only_one_that_runs(clean: Workshop) -> None:
    clean.write("last", "files: images/tiny\nrun: ['date >/etc/first', 'date >/etc/second']")
    clean.json("build", "last")
    clean.write("last", "files: images/tiny\nrun: ['date >/etc/first', 'rm /etc/first']")
    clean.json("build", "last")
    root = image(clean, "last").root
    assert not (root / "etc" / "first").exists()
    assert not (root / "etc" / "second").exists()
    assert (root / "etc" / "motd").read_text() == "hello from the recipe\n"


def test_images_share_the_files_that_they_have_in_common(clean: Workshop) -> None:
    clean.write("sharing", "run: ['date >/etc/first']")
    clean.json("build", "sharing")
    mine, theirs = image(clean, "sharing").root, image(clean, "base-debian").root
    assert (mine / "usr" / "bin" / "dpkg").samefile(theirs / "usr" / "bin" / "dpkg")
    assert not (theirs / "etc" / "first").exists()


def test_an_image_has_no_traces_of_the_overlay(clean: Workshop) -> None:
    """What the layers say is deleted is not there, and what they share is only in the cache."""
    clean.write("deleting", "run: ['rm -r /usr/share/zoneinfo; mkdir /usr/share/zoneinfo']")
    clean.json("build", "deleting")
    root = image(clean, "deleting").root
    assert list((root / "usr" / "share" / "zoneinfo").iterdir()) == []
    for path in (root, *root.rglob("*")):
        assert not [name for name in os.listxattr(path, follow_symlinks=False) if "overlay" in name]


# --- squashfs ------------------------------------------------------------------------------------


def test_a_squashfs_is_one_file_and_a_parent_like_any_other(clean: Workshop) -> None:
    clean.write("packed", "run: ['date >/etc/first']\noutput: {format: squashfs}")
    (clean.recipes / "upon.yaml").write_text(
        "name: upon\nkind: node\nfrom: packed\nrun: ['cp /etc/first /etc/second']\n"
    )
    clean.json("build", "upon")
    packed = image(clean, "packed")
    assert packed.path.name == "root.squashfs"
    assert packed.path.is_file()
    assert (image(clean, "upon").root / "etc" / "second").exists()


def test_a_squashfs_made_again_is_the_same_to_the_bit(clean: Workshop) -> None:
    clean.write("bits", "run: ['echo one >/etc/first']\noutput: {format: squashfs}")
    clean.json("build", "bits")
    first = image(clean, "bits").path.read_bytes()
    clean.vct("image", "remove", "bits")
    clean.json("build", "bits")
    assert image(clean, "bits").path.read_bytes() == first


def test_layers_or_not_the_image_is_the_same(clean: Workshop) -> None:
    clean.write("same", "files: images/tiny\nrun: ['echo one >/etc/first', 'rm /etc/motd']")
    clean.json("build", "same")
    first = tree_digest(image(clean, "same").root)
    clean.write("same", "files: images/tiny\nrun: ['echo one >/etc/first', 'rm /etc/motd; ls']")
    clean.json("build", "same")
    assert tree_digest(image(clean, "same").root) == first


# --- killed, in parallel -------------------------------------------------------------------------


def test_a_killed_build_is_resumed_where_it_was(clean: Workshop) -> None:
    clean.write("killed", "run: ['date >/etc/first', 'sleep 1235']")
    running = clean.start("build", "killed")
    wait_until(clean.running("sleep 1235", "killed"), "the build is at its second command")
    running.kill()
    running.wait()
    wait_until(lambda: not usage.mounted_by(clean.images), "its mounts are gone")
    clean.write("killed", "run: ['date >/etc/first', 'true']")
    assert layers(clean, "killed")["run[0]"] == "kept"
    assert clean.vct("build", "killed").code == 0


def test_two_vct_build_two_images_at_the_same_time(clean: Workshop) -> None:
    clean.write("left", "run: ['sleep 1236']")
    clean.write("right", "run: ['true']")
    running = clean.start("build", "left")
    wait_until(clean.running("sleep 1236", "left"), "the first one is at its command")
    assert clean.vct("build", "right").code == 0
    assert running.poll() is None
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=DEADLINE_S) == 130


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_all_parallel_builds_end_with_an_interrupted_vct(
    clean: Workshop, sent: signal.Signals
) -> None:
    for number in ("1", "2"):
        clean.write(f"twin{number}", f"run: ['sleep 12{sent:02}{number}']")
    running = clean.start("build", "twin1", "twin2", "--jobs", "2")
    for number in ("1", "2"):
        begun = clean.running(f"sleep 12{sent:02}{number}", f"twin{number}")
        wait_until(begun, "both are under way")
    running.send_signal(sent)
    assert running.wait(timeout=DEADLINE_S) == 130
    wait_until(clean.is_clean, "nothing is left")


# --- gc ------------------------------------------------------------------------------------------


def test_gc_frees_what_has_no_name_and_says_how_much(clean: Workshop) -> None:
    clean.write("old", "run: ['head -c 8M /dev/urandom >/etc/large']")
    old = clean.json("build", "old")[-1]["digest"]
    clean.write("old", "run: ['true']")
    clean.json("build", "old")
    would = clean.json("--dry-run", "image", "gc")
    assert old in would["images"]
    assert would["freed_mib"] >= 8
    freed = clean.json("image", "gc")
    assert freed["images"] == would["images"]
    assert freed["freed_mib"] >= 8
    assert not (clean.images / "store" / old).exists()
    assert clean.json("image", "gc")["freed_mib"] == 0


def test_gc_keeps_what_the_next_build_needs(clean: Workshop) -> None:
    clean.write("kept", "run: ['date >/etc/first', 'true']")
    clean.json("build", "kept")
    clean.json("image", "gc")
    clean.write("kept", "run: ['date >/etc/first', 'false || true']")
    assert layers(clean, "kept")["run[0]"] == "kept"


def test_gc_leaves_alone_what_is_mounted_anywhere(clean: Workshop) -> None:
    clean.write("mounted", "run: ['date']")
    digest = clean.json("build", "mounted")[-1]["digest"]
    root = image(clean, "mounted").root
    clean.write("mounted", "run: ['ls']")
    clean.json("build", "mounted")
    user = process.start(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c",
         'mount --bind "$1" "$1" && read -r line', "sh", str(root)],
        stdin=process.PIPE,
    )  # fmt: skip
    try:
        wait_until(lambda: bool(usage.mounted_by(root)), "the mount is there")
        clean.json("image", "gc")
        assert root.is_dir()
    finally:
        assert user.stdin is not None
        user.stdin.close()
        user.wait()
    assert digest in clean.json("image", "gc")["images"]
