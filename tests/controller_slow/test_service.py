"""The service as a container runs it: two processes, what they take, and what ends them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.controller import postgresql
from tests.controller_slow.live import ENDS_WITHIN_S, STARTS_WITHIN_S
from vct.controller import config

IDLE_MIB = 115  # packages for development are 20 of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    process: subprocess.Popen[bytes]
    port: int
    environment: Mapping[str, str]

    def get(self, path: str) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=STARTS_WITHIN_S)
        connection.request("GET", path)
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found

    def answers(self) -> bool:
        try:
            return self.get("/health/") == (200, b'{"status": "ok", "worker": "ok"}')
        except OSError:
            return False

    def children(self) -> list[int]:
        pid = self.process.pid
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def has_ended(pid: int) -> bool:
    """Also when nobody fetches what it ended with, as where process 1 is no init."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_for(true: Callable[[], bool]) -> None:
    end = time.monotonic() + STARTS_WITHIN_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def start(environment: Mapping[str, str], port: int) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "vct.controller", "service", "--bind", f"127.0.0.1:{port}"]
    return subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE)


def settings_in(home: Path, database: str = "sqlite") -> Mapping[str, str]:
    """An environment that names the settings of a new controller."""
    (home / "static").mkdir()
    told = config.generated(home, hosts=("127.0.0.1",), database=database)
    config.write(told, home / "controller.json")
    settings = {config.VARIABLE: str(home / "controller.json")}
    return {**os.environ, **settings, "DJANGO_SETTINGS_MODULE": "vct.controller.settings"}


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    return settings_in(tmp_path)


@contextmanager
def serving(environment: Mapping[str, str]) -> Iterator[Service]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = start(environment, port)
    one = Service(process=process, port=port, environment=environment)
    try:
        wait_for(lambda: one.answers() or process.poll() is not None)
        assert process.poll() is None, process.communicate()[1].decode()
        yield one
    finally:
        process.terminate()
        process.communicate(timeout=ENDS_WITHIN_S)


@pytest.fixture
def service(environment: Mapping[str, str]) -> Iterator[Service]:
    with serving(environment) as one:
        yield one


def anonymous_kib(pid: int) -> int:
    """Its part of the memory that no file holds."""
    found = re.search(r"Pss_Anon: +(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text())
    assert found
    return int(found[1])


def test_it_works(service: Service) -> None:
    for path in ("/api/", "/api/v0/", "/api/nodes/", "/map/network.json"):
        assert service.get(path)[0] == 200
    pids = [service.process.pid, *service.children()]
    assert len(pids) == 2
    assert sum(map(anonymous_kib, pids)) / 1024 < IDLE_MIB


def test_every_line_of_its_log_is_json(environment: Mapping[str, str]) -> None:
    with serving(environment) as one:
        os.kill(one.children()[0], signal.SIGKILL)
        wait_for(one.answers)
        one.process.terminate()
        said = one.process.communicate(timeout=ENDS_WITHIN_S)[1].decode().splitlines()
    told = [json.loads(line) for line in said]
    assert any("gunicorn" in one["logger"] for one in told)


def test_postgresql_serves_both_processes() -> None:
    with TemporaryDirectory(prefix="vct-service-") as directory:
        home = Path(directory)
        with (
            postgresql.server(home, home / "sockets"),
            serving(
                settings_in(home, f"postgresql://vct@/postgres?host={home / 'sockets'}")
            ) as one,
        ):
            assert one.get("/api/nodes/")[0] == 200


def test_a_killed_server_is_replaced_by_another(service: Service) -> None:
    (before,) = service.children()
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: service.children() not in ([], [before]))
    wait_for(service.answers)


def test_both_end_together_and_the_next_can_begin(service: Service) -> None:
    (server,) = service.children()
    service.process.kill()
    again = start(service.environment, service.port)
    wait_for(lambda: has_ended(server))
    wait_for(service.answers)
    again.terminate()
    assert b"another worker" not in again.communicate(timeout=ENDS_WITHIN_S)[1]
    assert again.returncode == 0


def test_a_second_one_for_the_same_testbed_refuses(service: Service) -> None:
    second = start(service.environment, service.port)
    assert b"another worker" in second.communicate(timeout=STARTS_WITHIN_S)[1]
    assert second.returncode == 1


def test_it_does_not_start_on_data_that_cannot_be_prepared(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    (tmp_path / "controller.sqlite3").write_bytes(b"no database" * 1000)
    one = start(environment, 1)
    words = one.communicate(timeout=STARTS_WITHIN_S)[1]
    assert b"file is not a database" in words
    assert b"not started" in words
    assert one.returncode == 1
