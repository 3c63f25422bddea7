"""The controller's container: its files, its configuration, and how it differs from what is wanted.

As nodes (vct.drivers.files, vct.drivers.containers), but one of a testbed, with settings and a
secret of its own. What is in its data is its own affair.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace

from vct import names
from vct.drivers import guest, netns
from vct.drivers.container_config import cgroup_of, ending_group
from vct.drivers.controller_config import layers_of, parse_config, render_config, render_settings
from vct.drivers.disk_image import MIB, make_disk, resize_disk
from vct.drivers.guest import LIVE_STATES, Guest
from vct.drivers.layers import Layers
from vct.drivers.lxc_config import uses_cgroup2
from vct.drivers.textfiles import read, write
from vct.errors import RefusedError
from vct.paths import TestbedPaths
from vct.plan.things import Controller, ControllerFiles

NAME = "controller"  # LXC's, in the testbed's directory
SECRET_OCTETS = 50


class ControllerFilesDriver:
    """Makes the controller's directory."""

    kind = ControllerFiles
    workers = 1

    def __init__(self, paths: TestbedPaths) -> None:
        self._paths = paths.controller

    def observe(self) -> list[ControllerFiles]:
        if not self._paths.root.is_dir():
            return []
        image = self._paths.disk_image
        return [ControllerFiles(disk_mib=image.stat().st_size // MIB if image.exists() else 0)]

    def claim(self, thing: ControllerFiles) -> None:
        pass  # inside the testbed's directory, which carries our mark

    def create(self, thing: ControllerFiles) -> None:
        """Make what is missing; the disk image comes last and says that all is there."""
        self._paths.root.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._paths.disk.mkdir(mode=0o755, exist_ok=True)
        self._paths.settings.mkdir(mode=0o700, exist_ok=True)
        make_disk(self._paths.disk_image, thing.disk_mib)

    def change(self, was: ControllerFiles, thing: ControllerFiles) -> None:
        """Resize the disk; one that was never finished is made anew."""
        if was.disk_mib == 0:
            self.create(thing)
            return
        try:
            resize_disk(self._paths.disk_image, thing.disk_mib)
        except RefusedError as error:
            raise RefusedError(
                f"the controller's disk cannot shrink to {thing.disk_mib} MiB",
                hint=f"leave it at {was.disk_mib}MiB (controller: {{disk: …}} in the file)\n"
                "or: vct controller backup FILE; vct controller reset; vct controller restore FILE",
            ) from error

    def delete(self, thing: ControllerFiles) -> None:
        if self._paths.root.exists():
            shutil.rmtree(self._paths.root)


class ControllerDriver:
    """Starts, stops and observes the controller's container."""

    kind = Controller
    workers = 1

    def __init__(self, paths: TestbedPaths) -> None:
        self._paths = paths
        self._cgroup2 = uses_cgroup2()

    def observe(self) -> list[Controller]:
        files = self._paths.controller
        if not files.root.is_dir() and not self._group_is_there():
            return []
        state, pid = self.state()
        if not files.config.exists() and state not in LIVE_STATES:
            return []
        thing = parse_config(read(files.config))
        intact = (
            thing.intact
            and read(files.config) == self._render(thing)
            and read(files.settings_file) == self._settings(thing)
        )
        running = state == "RUNNING"
        at_home = not running or self._at_home(thing, pid)
        return [replace(thing, running=running, intact=intact, at_home=at_home)]

    def _group_is_there(self) -> bool:
        """Its directory may have been removed while it ran."""
        group = cgroup_of(self._paths.name, names.CONTROLLER)
        return any((top / group).is_dir() for top in guest.hierarchies())

    def _at_home(self, thing: Controller, pid: int) -> bool:
        here = netns.inode_of(pid)
        return bool(here and thing.namespace) and here == netns.namespace_inode(thing.namespace)

    def state(self) -> tuple[str, int]:
        """LXC's word for its state, and its init's pid in our numbering (or -1)."""
        return guest.state_of(self._paths.root, NAME)

    def claim(self, thing: Controller) -> None:
        pass  # inside the testbed's directory, which carries our mark

    def create(self, thing: Controller) -> None:
        files = self._paths.controller
        if guest.disk_in_use(self._guest()):
            self.stop(kill=True)  # a start that outlived the vct that asked for it
        guest.discard_remains(self._guest())
        if not read(files.secret):
            write(files.secret, os.urandom(SECRET_OCTETS).hex(), mode=0o600)
        write(files.settings_file, self._settings(thing), mode=0o600)
        write(files.config, self._render(thing), mode=0o640)
        if thing.running:
            guest.start(self._guest(layers_of(thing, self._paths)), self._render(thing))

    def change(self, was: Controller, thing: Controller) -> None:
        """Stop it, write its configuration and start it again."""
        self.stop()
        self.create(thing)

    def delete(self, thing: Controller) -> None:
        """Stop it and forget its configuration; its files stay."""
        self.stop()
        files = self._paths.controller
        for file in (files.config, files.settings_file, files.console_log, files.monitor_log):
            file.unlink(missing_ok=True)
        guest.discard_remains(self._guest())
        group = cgroup_of(self._paths.name, "")
        guest.discard_parents(group, ending_group(self._paths.name), self._paths.root)

    def stop(self, *, kill: bool = False) -> None:
        """Halt it, or kill it after a deadline; returns when its disk is released."""
        guest.stop(self._guest(), kill=kill)

    def _guest(self, layers: Layers | None = None) -> Guest:
        """The container. To stop it, its disk is all that matters of its layers."""
        place = self._paths.controller.root
        return Guest(
            called="the controller",
            name=NAME,
            lxc_path=self._paths.root,
            layers=layers or Layers(image=place, place=place),
            group=cgroup_of(self._paths.name, names.CONTROLLER),
            again="vct init",
        )

    def _settings(self, thing: Controller) -> str:
        return render_settings(thing, self._paths.name, read(self._paths.controller.secret))

    def _render(self, thing: Controller) -> str:
        if thing.arch not in ("amd64", "i386"):
            return ""
        return render_config(thing, self._paths, cgroup2=self._cgroup2)


def attach_command(paths: TestbedPaths, command: Sequence[str]) -> list[str]:
    """The argv that runs a command inside the running controller, as root."""
    return guest.attach_command(paths.root, NAME, command)
