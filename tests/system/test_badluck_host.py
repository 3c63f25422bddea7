"""A host that lacks something, a caller who is not root, surroundings that are odd: clear words,
the right exit code, the next command, no traceback."""

from __future__ import annotations

import importlib.util
import json
import pwd
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.system.conftest import LINE, VCT, Bed
from tests.system.trouble import paths_of, vct_with
from vct.drivers import process
from vct.drivers.process import Completed

ONE = 'nodes: {"0001": {}}\n'
CHECKOUT = Path(__file__).resolve().parents[2]
NOBODY = pwd.getpwnam("nobody")


def sh(bed: Bed, script: str, *words: str, environment: dict[str, str] | None = None) -> Completed:
    """Run a shell script in a private mount namespace; its words are `"$@"`."""
    argv = ["unshare", "--mount", "--propagation=private", "sh", "-ec", script, "sh", *words]
    told = bed.environment | (environment or {})
    return process.run(argv, env=told, check=False, timeout_s=120)


def hidden(bed: Bed, programs: Sequence[Path], *arguments: str) -> Completed:
    """Run vct where these files cannot be executed."""
    script = 'n=$1; shift; while [ $n -gt 0 ]; do mount --bind /dev/null "$1"; shift; n=$((n-1))'
    words = [str(len(programs)), *map(str, programs), *VCT, *arguments]
    return sh(bed, f'{script}; done; exec "$@"', *words)


def as_nobody(bed: Bed, *arguments: str) -> Completed:
    """Run vct as the user nobody, who can read this checkout even if it is in root's home."""
    ids = [f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups"]
    closed = next((d for d in reversed(CHECKOUT.parents) if not d.stat().st_mode & 0o001), None)
    if closed is None:
        return sh(bed, 'exec "$@"', "setpriv", *ids, *VCT, *arguments)
    opened = (
        'closed=$1 checkout=$2; shift 2; mount --bind "$checkout" /mnt; '
        'mount -t tmpfs -o mode=755 opened "$closed"; mkdir -p "$checkout"; '
        'mount --bind /mnt "$checkout"; umount /mnt; exec "$@"'
    )
    return sh(bed, opened, str(closed), str(CHECKOUT), "setpriv", *ids, *VCT, *arguments)


def assert_clear(done: Completed, code: int, *words: str) -> None:
    """The exit code is right, the words are there, and there is no traceback."""
    assert "Traceback" not in done.stderr
    assert (done.code, done.stderr) == (code, done.stderr)
    for word in words:
        assert word in done.stderr


# --- what the host lacks -------------------------------------------------------------------------


@pytest.mark.parametrize("program", ["lxc-start", "lxc-stop", "dnsmasq", "nft", "mkfs.ext4"])
def test_a_missing_program_is_named_with_its_fix(bed: Bed, program: str) -> None:
    place = process.find(program)
    assert place is not None
    done = hidden(bed, [place.resolve()], "init", str(bed.file(ONE)))
    assert_clear(done, 3, "vct install")
    assert not bed.home.exists()


def test_a_missing_binding_of_lxc_is_named_with_its_fix(bed: Bed) -> None:
    spec = importlib.util.find_spec("_lxc")
    assert spec is not None
    done = hidden(bed, [Path(str(spec.origin))], "init", str(bed.file(ONE)))
    assert_clear(done, 3, "python3-lxc")


def test_missing_control_groups_are_named(bed: Bed) -> None:
    script = 'umount -l /sys/fs/cgroup; mount -t tmpfs none /sys/fs/cgroup; exec "$@"'
    done = sh(bed, script, *VCT, "init", str(bed.file(ONE)))
    assert_clear(done, 3, "control group")


def test_an_image_that_is_not_built_is_named_with_the_command(bed: Bed, tmp_path: Path) -> None:
    for arguments in (("init", str(bed.file(ONE))), ("--dry-run", "init", str(bed.file(ONE)))):
        done = vct_with(bed, {"VCT_IMAGES": str(tmp_path)}, *arguments)
        assert_clear(done, 1, "node-debian", "amd64", "vct build node-debian")
        assert not paths_of(bed).run.parent.exists()
    text = 'nodes: {"0001": {arch: i386, image: nonsense}}\n'
    done = vct_with(bed, {}, "init", str(bed.file(text)))
    assert_clear(done, 1, "nonsense", "i386")


@pytest.mark.parametrize(
    ("variable", "place"), [("VCT_HOME", "relative/path"), ("VCT_IMAGES", "/var/lib/a:b c")]
)
def test_a_place_that_cannot_be_used_is_refused(bed: Bed, variable: str, place: str) -> None:
    done = vct_with(bed, {variable: place}, "init", str(bed.file(ONE)))
    assert_clear(done, 2, variable, place)


def test_a_place_that_cannot_be_written_is_refused(bed: Bed) -> None:
    done = vct_with(bed, {"VCT_HOME": "/proc/vct"}, "init", str(bed.file(ONE)))
    assert_clear(done, 3, "/proc/vct", "VCT_HOME")


def test_a_place_that_is_a_file_is_refused(bed: Bed) -> None:
    file = bed.file(ONE)
    done = vct_with(bed, {"VCT_HOME": str(file)}, "init", str(file))
    assert_clear(done, 4, str(file), "not a directory")
    assert file.read_text() == ONE


# --- without root --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def up(shared_bed: Bed) -> Bed:
    """A testbed that is up."""
    shared_bed.init(LINE)
    return shared_bed


@pytest.mark.parametrize(
    "arguments",
    [
        ("init", "FILE"),
        ("cleanup",),
        ("--yes", "purge"),
        ("build", "node-debian"),
        ("node", "start", "all"),
        ("node", "stop", "0001"),
        ("--yes", "node", "remove", "0001"),
        ("node", "exec", "0001", "--", "true"),
        ("node", "ssh", "0001", "true"),
        ("node", "mount", "0001"),
        ("demo",),
    ],
)
def test_verbs_that_need_root_say_so(up: Bed, arguments: tuple[str, ...]) -> None:
    file = str(up.file(LINE))
    done = as_nobody(up, *(file if word == "FILE" else word for word in arguments))
    assert_clear(done, 3, "root", "sudo")


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("node", "list"),
        ("link", "list"),
        ("--dry-run", "init", "FILE"),
        ("--dry-run", "cleanup"),
    ],
)
def test_looking_without_root_works_or_says_what_cannot_be_seen(
    up: Bed, arguments: tuple[str, ...]
) -> None:
    file = str(up.file(LINE))
    done = as_nobody(up, *(file if word == "FILE" else word for word in arguments))
    if done.code != 0:
        assert_clear(done, 3, "root", "sudo")


def test_checking_files_and_the_host_needs_no_root(up: Bed) -> None:
    assert as_nobody(up, "topology", "validate", str(up.file(LINE))).code == 0
    assert as_nobody(up, "--help").code == 0
    done = as_nobody(up, "doctor")
    assert "Traceback" not in done.stderr
    assert done.code in (0, 3)


# --- odd surroundings ----------------------------------------------------------------------------


def test_status_works_in_an_empty_environment(up: Bed) -> None:
    """No HOME, TERM, LANG or PATH; a directory that cannot be written to; stdin closed."""
    settings = [f"{name}={value}" for name, value in up.environment.items()]
    script = f'cd /proc; exec env -i PYTHONPATH={Path.cwd()} {" ".join(settings)} "$@" <&-'
    for arguments in (("status",), ("--json", "status"), ("init", str(up.file(LINE)))):
        done = sh(up, script, *VCT, *arguments)
        assert_clear(done, 0)
        assert done.stdout


@pytest.mark.parametrize("language", ["C", "de_DE.UTF-8", "nonsense"])
def test_tables_and_json_work_in_any_language(up: Bed, language: str) -> None:
    told = {"LANG": language, "LC_ALL": language, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = vct_with(up, told, "status")
    assert_clear(done, 0)
    assert "0001" in done.stdout
    assert_clear(vct_with(up, told, "--json", "node", "info"), 0)


@pytest.mark.parametrize("arguments", ["status", "--json status", "node info", "--help"])
def test_a_reader_that_goes_away_is_no_error(up: Bed, arguments: str) -> None:
    script = 'set -o pipefail; "$@" | head -c1 >/dev/null; "$@" | true'
    argv = ["bash", "-c", script, "sh", *VCT, *arguments.split()]
    done = process.run(argv, env=up.environment, check=False, timeout_s=60)
    assert_clear(done, 0)
    assert done.stderr == ""


def test_a_closed_or_full_output_is_told(up: Bed) -> None:
    done = sh(up, 'exec "$@" >/dev/full', *VCT, "status")
    assert_clear(done, 1, "No space left on device")
    done = sh(up, 'exec "$@" >&-', *VCT, "status")
    assert "Traceback" not in done.stderr


def test_a_question_without_a_terminal_is_not_asked(up: Bed) -> None:
    assert_clear(up.vct("purge", check=False), 4, "--yes")
    assert_clear(up.vct("node", "remove", "0001", check=False), 4, "--yes")
    assert up.json("status")["ready"] is True


# --- nodes that never become ready ---------------------------------------------------------------


def test_a_node_that_is_never_ready_is_shown(bed: Bed) -> None:
    """Its console's end, its processes; the others are up."""
    bed.init(LINE)
    bed.sh("0002", "echo nonsense >/etc/ssh/sshd_config.d/bad.conf; echo halted-on >/dev/console")
    bed.vct("node", "stop", "0002")
    done = bed.vct("--json", "init", "--timeout", "5", str(bed.file(LINE)), check=False)
    assert done.code == 1
    told = json.loads(done.stdout)
    assert told["error"] == "NotReadyError"
    assert list(told["seen"]) == ["0002"]
    assert "init" in told["seen"]["0002"]
    assert "container: RUNNING" in told["seen"]["0002"]
    done = bed.vct("init", "--timeout", "5", str(bed.file(LINE)), check=False)
    assert_clear(done, 1, "1 of 2 nodes not ready", "console", "processes", "vct node console 0002")
    states = {node["id"]: node["state"] for node in bed.json("node", "list")}
    assert states == {"0001": "ready", "0002": "starting"}
    bed.sh("0002", "rm /etc/ssh/sshd_config.d/bad.conf")
    bed.vct("node", "stop", "--kill", "0002")
    assert bed.json("init")["ready"] == ["0001", "0002"]


def test_a_node_that_halts_at_once_is_shown(bed: Bed) -> None:
    bed.init(ONE)
    sshd = "/usr/sbin/sshd"
    bed.sh("0001", f"rm {sshd} && printf '#!/bin/sh\\nhalt -f\\n' >{sshd} && chmod +x {sshd}; sync")
    bed.vct("node", "stop", "--kill", "0001")
    done = bed.vct("init", "--timeout", "10", str(bed.file(ONE)), check=False)
    assert_clear(done, 1, "0001", "STOPPED")


# --- side by side --------------------------------------------------------------------------------


def test_of_two_inits_at_once_one_works_and_one_is_told_by_whom(bed: Bed) -> None:
    file = str(bed.file(LINE))
    running = [process_of(bed, "init", file) for _ in range(3)]
    ended = [(one.pid, json.loads(one.communicate()[0]), one.returncode) for one in running]
    worked = [(pid, told) for pid, told, code in ended if code == 0]
    refused = [told for _pid, told, code in ended if code == 4]
    assert worked
    assert len(worked) + len(refused) == 3
    pids = [str(pid) for pid, _ in worked]
    assert all(any(f"pid {pid}:" in told["message"] for pid in pids) for told in refused)
    assert all(told["error"] == "LockedError" for told in refused)
    assert bed.json("status")["ready"] is True


def test_testbeds_that_start_and_end_at_once_do_not_disturb_each_other(bed: Bed) -> None:
    """They share the host's forwarding and the directory of namespaces."""
    file = str(bed.file(LINE))
    bed.others = [f"{bed.name}{letter}" for letter in "ab"]
    for verb in (("init", file), ("cleanup",), ("init", file), ("cleanup", "--flush")):
        running = [process_of(bed, "--testbed", name, *verb) for name in (bed.name, *bed.others)]
        results = [(one.communicate(), one.returncode) for one in running]
        assert [code for _, code in results] == [0, 0, 0], results


def process_of(bed: Bed, *arguments: str) -> process.Process:
    argv = [*VCT, "--json", *arguments]
    return process.start(argv, env=bed.environment, stdout=process.PIPE)


def test_one_testbed_goes_while_another_one_comes(bed: Bed) -> None:
    file = str(bed.file(LINE))
    (other,) = bed.others = [f"{bed.name}a"]
    bed.vct("init", file)
    for _ in range(3):
        running = [
            process_of(bed, "--testbed", bed.name, "cleanup"),
            process_of(bed, "--testbed", other, "init", file),
        ]
        assert [one.wait() for one in running] == [0, 0]
        bed.name, other = other, bed.name
        assert bed.json("status")["ready"] is True
        bed.others = [other]
