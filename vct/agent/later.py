"""Modules of the standard library that others import and the agent has no use for: loaded later.

A third of the agent's memory and start would be theirs. Each is stood in for until somebody asks
for something in it; then it is loaded as ever. The image's starter calls this before all else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from types import ModuleType
from typing import Any

# who imports them: dataclasses; http.server; email.utils and email._parseaddr
UNUSED = ("inspect", "html", "mimetypes", "shutil", "calendar", "datetime", "random")


class _StandIn(ModuleType):
    """Becomes the module when it is asked for anything that it should have."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system's own questions
            raise AttributeError(name)
        own = self.__name__
        if sys.modules.get(own) is self:
            del sys.modules[own]
        module = import_module(own)
        self.__dict__.update(vars(module))
        return getattr(module, name)


def load_later(names: Iterable[str] = UNUSED) -> None:
    """Those that are loaded already stay."""
    for name in names:
        sys.modules.setdefault(name, _StandIn(name))
