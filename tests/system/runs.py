"""A bed whose images are hand-made ones, and `vct image run` in it, here and by other processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.system.conftest import VCT, Bed
from tests.system.trouble import PATIENCE_S
from vct.drivers import guest, process
from vct.paths import Home

UP = "echo up; exec sleep 1000"


@dataclass
class Runs(Bed):
    """A bed whose images are the hand-made ones."""

    images: Path = Path()

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"VCT_IMAGES": str(self.images)}

    @property
    def state(self) -> Home:
        return Home(root=self.home, images=self.images)

    def run(self, *arguments: str, stdin: str = "", check: bool = True) -> process.Completed:
        done: process.Completed = self.vct("image", "run", *arguments, stdin=stdin, check=check)
        return done

    def names(self) -> list[str]:
        return [seen["name"] for seen in self.json("image", "runs")]

    @contextmanager
    def running(self, name: str, *options: str, script: str = UP) -> Iterator[process.Process]:
        """A run by another process, for the block: its command has begun."""
        argv = [*VCT, "image", "run", "plain", "--name", name, *options, "--", "sh", "-c", script]
        process_ = process.start(argv, env=self.environment, new_session=True, stdout=process.PIPE)
        try:
            assert process_.stdout is not None
            assert process_.stdout.readline() == b"up\n"
            yield process_
        finally:
            if process_.poll() is None:
                process_.terminate()
            process_.communicate(timeout=PATIENCE_S)

    def attach(self, name: str, *command: str) -> process.Completed:
        argv = guest.attach_command(self.state.image_runs, name, command)
        return process.run(argv, check=False, cwd=Path("/"))

    def pid(self, name: str) -> int:
        return guest.state_of(self.state.image_runs, name)[1]
