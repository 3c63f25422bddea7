"""The record of a testbed: its mark, what was last asked for, and the numbers given out for it.

A testbed file is read by way of it: what has not changed since it was applied is not checked again.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vct.drivers.textfiles import read, write
from vct.errors import RefusedError, VctError
from vct.model.testbed import Controller, Link, Management, Node, Segment, Testbed
from vct.model.textfile import fingerprint, read_text
from vct.names import check_testbed_name
from vct.paths import Home, TestbedPaths
from vct.plan.wanted import Numbers
from vct.quality import Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """A testbed as it was last asked for, and the numbers that were given out for it."""

    testbed: Testbed
    numbers: Numbers


def load_applied(paths: TestbedPaths) -> Applied | None:
    """What was last asked for, if this testbed was ever applied."""
    text = read(paths.applied)
    if not text:
        return None
    try:
        document = json.loads(text)
        return Applied(
            testbed=_decode(document["testbed"], str(paths.applied)),
            numbers=Numbers(**document["numbers"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise VctError(
            f"the record of testbed {paths.name} is damaged ({paths.applied}: {error})",
            hint=f"apply its file again: rm {paths.applied}; vct init FILE",
        ) from None


def save_applied(paths: TestbedPaths, applied: Applied | None) -> None:
    """Record what is asked for; None forgets it."""
    if applied is None:
        paths.applied.unlink(missing_ok=True)
        return
    write(paths.applied, json.dumps(asdict(applied), indent=1))


def same_record(before: Applied | None, now: Applied) -> bool:
    """Whether the record need not be written again. A file with another text may mean the same."""
    return before == now and before.testbed.fingerprint == now.testbed.fingerprint


def _decode(fields: dict[str, Any], source: str) -> Testbed:
    """The values themselves, not the user's file: every verb reads the record, and the checks that
    the file went through need not be made, nor their library loaded, again."""

    def node(given: dict[str, Any]) -> Node:
        position = given.pop("position")
        return Node(**given, position=tuple(position) if position else None)

    def link(given: dict[str, Any]) -> Link:
        forward, backward = Quality(**given.pop("forward")), Quality(**given.pop("backward"))
        return Link(**given, forward=forward, backward=backward)

    def controller(given: dict[str, Any]) -> Controller:
        templates = given.pop("templates", None)
        return Controller(**given, templates=None if templates is None else tuple(templates))

    def management(given: dict[str, Any]) -> Management:
        return Management(backend=given["backend"], gateways=tuple(given["gateways"]))

    def segment(given: dict[str, Any]) -> Segment:
        return Segment(name=given["name"], members=tuple(given["members"]))

    return Testbed(
        name=fields["name"],
        nodes=tuple(map(node, fields["nodes"])),
        links=tuple(map(link, fields["links"])),
        segments=tuple(map(segment, fields["segments"])),
        controller=controller(fields["controller"]) if fields.get("controller") else None,
        # records of older versions have no more
        management=management(fields["management"]) if "management" in fields else Management(),
        source=source,
        fingerprint=fields.get("fingerprint", ""),
    )


def read_testbed(home: Home, file: Path, name: str | None = None) -> Testbed:
    """The testbed that a file describes; `name` overrides the file's. Raises InputError.

    If a testbed's record was made from this very text it is taken from there: loading the libraries
    that read and check it takes longer than all else that an `init` with nothing to do has to do.
    """
    text = read_text(file)
    candidates = [check_testbed_name(name)] if name is not None else None
    known = _known(home, fingerprint(text, name), candidates)
    if known is not None:
        return replace(known, source=str(file))
    from vct.model.load import parse_testbed

    return parse_testbed(text, str(file), name)


def _known(home: Home, wanted: str, candidates: list[str] | None) -> Testbed | None:
    """The testbed in a record that was made from a text with this fingerprint."""
    # A damaged record, or one for root only, is as good as none here.
    with suppress(VctError, OSError):
        for name in testbed_names(home) if candidates is None else candidates:
            paths = home.testbed(name)
            applied = load_applied(paths) if wanted in read(paths.applied) else None
            if applied and applied.testbed.fingerprint == wanted:
                return applied.testbed
    return None


def testbed_names(home: Home) -> list[str]:
    """Testbeds with a directory of ours in the state root."""
    if not home.testbeds.is_dir():
        return []
    return sorted(
        path.name for path in home.testbeds.iterdir() if home.testbed(path.name).mark.exists()
    )


def claim_directory(paths: TestbedPaths) -> None:
    """Make the testbed's directory with its mark. Raises RefusedError when it is not ours."""
    if paths.root.exists() and not paths.mark.exists() and any(paths.root.iterdir()):
        raise RefusedError(
            f"the directory {paths.root} exists and is not ours",
            hint="rename your testbed (name: in its file), or move the directory away",
        )
    for directory in (paths.root.parent, paths.root, paths.nodes):
        directory.mkdir(mode=0o711, exist_ok=True)
    paths.mark.touch()


def require_applied(paths: TestbedPaths) -> Applied:
    """What was last asked for. Raises VctError if this testbed was never applied."""
    applied = load_applied(paths)
    if applied is None:
        raise VctError(f"testbed {paths.name} was never applied", hint="apply it: vct init FILE")
    return applied
