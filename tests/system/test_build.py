"""Building images for real: cold, cached, failing, killed, and two at once. Needs root and network.

The node image comes from the shared store (VCT_IMAGES, else the default place); everything that
fails or is killed has a store of its own.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.system.conftest import IMAGES, VCT
from tests.system.workshop import DEADLINE_S, Workshop, wait_until
from vct.build import store, usage
from vct.drivers import process

# --- the node image ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def node_root() -> Path:
    process.run([*VCT, "build", "node-debian"], env={"VCT_IMAGES": str(IMAGES)}, timeout_s=1200)
    return store.find_image(IMAGES, "node-debian", "amd64").root


def test_it_works(node_root: Path) -> None:
    for file in ("usr/sbin/sshd", "usr/sbin/ifup", "usr/sbin/ip", "usr/bin/ping", "sbin/init"):
        assert (node_root / file).exists(), file
    assert (node_root / "etc" / "vct" / "init").readlink() == Path("/sbin/init")


@pytest.mark.parametrize("file", ["inittab", "resolv.conf", "hosts"])
def test_what_makes_a_node_itself_is_in_one_directory(node_root: Path, file: str) -> None:
    assert (node_root / "etc" / file).readlink() == Path("/etc/vct/node") / file


def test_an_image_has_no_identity_and_no_keys(node_root: Path) -> None:
    for pattern in ("etc/ssh/ssh_host_*", "etc/vct/node/ssh_host_*", "etc/hostname",
                    "etc/machine-id", "var/lib/apt/lists/*", "var/log/**/*.log",
                    "usr/sbin/policy-rc.d", "etc/apt/apt.conf.d/99mmdebstrap"):  # fmt: skip
        assert list(node_root.glob(pattern)) == [], pattern


def test_no_password_opens_root_and_keys_do(node_root: Path) -> None:
    shadow = (node_root / "etc" / "shadow").read_text().splitlines()
    assert [line.split(":")[1] for line in shadow if line.startswith("root:")] == ["*"]
    config = (node_root / "etc" / "ssh" / "sshd_config.d" / "vct.conf").read_text()
    assert {
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "PermitRootLogin prohibit-password",
    } <= set(config.splitlines())


def test_a_second_build_is_a_cache_hit(node_root: Path) -> None:
    done = process.run([*VCT, "--json", "build"], env={"VCT_IMAGES": str(IMAGES)})
    assert {result["name"]: result["cached"] for result in json.loads(done.stdout)} == {
        "base-debian": True,
        "node-debian": True,
    }


# --- a recipe of one's own, from cold ------------------------------------------------------------


def test_an_own_recipe_is_built_from_cold(workshop: Workshop) -> None:
    assert [(result["name"], result["cached"]) for result in workshop.cold] == [
        ("base-debian", False),
        ("tiny", False),
    ]
    root = store.find_image(workshop.images, "tiny", "amd64").root
    assert (root / "etc" / "motd").read_text() == "hello from the recipe\n"
    assert (root / "etc" / "motd").stat().st_uid == 0
    assert (root / "etc" / "hello").read_text() == "hello from x86_64\n"
    assert workshop.is_clean()


def test_list_and_info_say_what_is_in_the_store(clean: Workshop) -> None:
    listed = {image["name"]: image for image in clean.json("image", "list")}
    told = clean.json("image", "info", "base-debian")
    assert listed["base-debian"]["digest"] == told["digest"]
    assert any(package.startswith("sysvinit-core=") for package in told["packages"])
    assert told["manifest"]["bootstrap"]["suite"] == "bookworm"


def test_why_names_what_changed(clean: Workshop) -> None:
    clean.write("changing", "run: ['true']")
    clean.json("build", "changing")
    clean.write("changing", "run: ['true', date]")
    told = {image["name"]: image for image in clean.json("image", "why", "changing")}
    assert told["base-debian"]["action"] == "cached"
    assert told["changing"]["changes"] == ["run: added date"]


def test_commands_have_no_network(clean: Workshop) -> None:
    clean.write("offline", "run: ['[ $(grep -c : /proc/net/dev) = 1 ]']")
    assert clean.vct("build", "offline").code == 0


def test_a_removed_image_is_gone(clean: Workshop) -> None:
    clean.write("brief", "run: ['true']")
    digest = clean.json("build", "brief")[1]["digest"]
    assert clean.vct("image", "remove", "brief").code == 0
    assert clean.vct("image", "info", "brief").code == 1
    assert not (clean.images / "store" / digest).exists()


# --- bad luck ------------------------------------------------------------------------------------


def test_a_failing_command_names_recipe_and_step_and_leaves_nothing(clean: Workshop) -> None:
    clean.write("failing", "run:\n  - 'true'\n  - 'echo too bad >&2; false'")
    done = clean.vct("build", "failing")
    assert done.code == 1
    assert "failing.yaml:6: run[1]: failing for amd64" in done.stderr
    assert "too bad" in done.stderr
    assert str(clean.images / "logs" / "failing.amd64.log") in done.stderr
    assert clean.vct("image", "info", "failing").code == 1


def test_a_package_that_does_not_exist_is_told_with_its_line(clean: Workshop) -> None:
    clean.write("failing", "packages: [no-such-package-anywhere]")
    done = clean.vct("build", "failing")
    assert done.code == 1
    assert "failing.yaml:4: packages" in done.stderr
    assert "Unable to locate package no-such-package-anywhere" in done.stderr


def test_a_mirror_that_does_not_answer_is_told(clean: Workshop) -> None:
    done = clean.vct("build", "base-debian", "--mirror", "http://127.0.0.1:9/debian")
    assert done.code == 1
    assert "the mirror cannot be reached" in done.stderr


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_leaves_nothing(clean: Workshop, sent: signal.Signals) -> None:
    clean.write("long", f"run: ['sleep 1{sent:03}']")
    running = clean.start("build", "long")
    wait_until(clean.running(f"sleep 1{sent:03}", "long"), "the build is at its command")
    running.send_signal(sent)
    assert running.wait(timeout=DEADLINE_S) == 130
    assert clean.vct("image", "info", "long").code == 1


def test_two_builds_at_once_build_it_once(clean: Workshop) -> None:
    clean.write("shared", "run: ['sleep 1237 || true']")
    first = clean.start("build", "shared")
    wait_until(lambda: bool(sleepers("1237")), "the first one builds")
    second = clean.start("--json", "build", "shared")
    assert second.stderr is not None
    try:
        assert any(b"waiting for it" in line for line in iter(second.stderr.readline, b""))
    finally:
        for pid in sleepers("1237"):
            os.kill(pid, signal.SIGTERM)
    assert first.wait(timeout=DEADLINE_S) == 0
    out, _ = second.communicate(timeout=DEADLINE_S)
    assert [result["cached"] for result in json.loads(out)] == [True, True]


def sleepers(seconds: str) -> list[int]:
    """The processes `sleep SECONDS` of a recipe."""
    command = f"sleep\0{seconds}\0".encode()
    return [
        int(file.parent.name)
        for file in Path("/proc").glob("[0-9]*/cmdline")
        if content(file) == command
    ]


def content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # it ended meanwhile
        return b""


def test_an_image_in_use_is_not_removed(clean: Workshop) -> None:
    clean.write("used", "run: ['true']")
    clean.json("build", "used")
    root = store.find_image(clean.images, "used", "amd64").root
    user = process.start(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c",
         'mount --bind "$1" "$1" && read -r line', "sh", str(root)],
        stdin=process.PIPE,
    )  # fmt: skip
    try:
        wait_until(lambda: bool(usage.mounted_by(root)), "the mount is there")
        refused = clean.vct("image", "remove", "used")
        assert refused.code == 4
        assert "in use" in refused.stderr
    finally:
        assert user.stdin is not None
        user.stdin.close()
        user.wait()
    assert clean.vct("image", "remove", "used").code == 0


def test_somebody_elses_directory_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    done = process.run([*VCT, "build"], env={"VCT_IMAGES": str(tmp_path)}, check=False)
    assert done.code == 4
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
