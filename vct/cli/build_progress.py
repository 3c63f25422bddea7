"""A build's progress: a bar per image on a terminal, plain lines elsewhere, JSON lines by choice.

Called from several threads; rich takes care of that, and a JSON line is written at one stroke.
"""

from __future__ import annotations

import json
from types import TracebackType
from typing import TYPE_CHECKING

import click

from vct.build.events import Progress
from vct.cli.session import Session

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

QUIET_S = 2.0  # what is over sooner needs no line


class BuildProgress:
    """Shows what a build tells. With `events`, each of its events is a JSON line on stderr."""

    def __init__(self, here: Session, *, events: bool = False) -> None:
        self._here, self._events = here, events
        self._bars: Bars | None = None
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def __enter__(self) -> BuildProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def report(self, event: Progress) -> None:
        """Something began, ended, or is to be said."""
        if self._events:
            click.echo(json.dumps(event_data(event), ensure_ascii=False), err=True)
        elif self._here.err.is_terminal:
            self._show(event)
        else:
            self._say(event)

    def _say(self, event: Progress) -> None:
        words = f"{event.image} for {event.arch}: {event.step}"
        if event.done and event.step and event.seconds >= QUIET_S:
            self._here.say(f"{words}: {event.seconds:.1f} s")
        elif event.step and event.lasting and not event.done:
            self._here.say(words)

    def _show(self, event: Progress) -> None:
        bars = self._started()
        name = (event.image, event.arch)
        if name not in self._tasks:
            if event.done:  # it was there already
                return
            title = f"{event.image} for {event.arch}"
            self._tasks[name] = bars.add_task(title, total=event.of or None, step="")
        task = self._tasks[name]
        if event.done and not event.step:
            bars.remove_task(task)
            del self._tasks[name]
        elif event.note:
            bars.update(task, step=event.step)
        elif not event.done:
            done = max(0, event.at - 1)
            bars.update(task, step=event.step, completed=done, total=event.of or None)

    def _started(self) -> Bars:
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        if self._bars is None:
            self._bars = Bars(
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                TimeElapsedColumn(),
                TextColumn("{task.fields[step]}", markup=False),
                console=self._here.err,
                transient=True,
            )
            self._bars.start()
        return self._bars


def event_data(event: Progress) -> dict[str, object]:
    """An event as `--events` prints it. `event` is begin, end or note; a step of "" is the image
    as a whole. `at` and `of` count the layers that are made; seconds only at the end."""
    what = "note" if event.note else "end" if event.done else "begin"
    data: dict[str, object] = {
        "event": what,
        "image": event.image,
        "arch": event.arch,
        "layer": event.layer,
        "step": event.step,
        "at": event.at,
        "of": event.of,
    }
    return data | ({"seconds": round(event.seconds, 2)} if event.done else {})
