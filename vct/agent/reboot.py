"""Begin anew: the one program that the agent starts. The room has no drivers.

Called by `apply` after what must be remembered has been written.
"""

from __future__ import annotations

import os

REBOOT = "/sbin/reboot"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def reboot() -> None:
    """Ask init for it; this process ends with the others. Raises OSError when it cannot be asked.

    Does not wait for the program: init ends us while it runs.
    """
    os.posix_spawn(REBOOT, [REBOOT], {"PATH": PATH})
