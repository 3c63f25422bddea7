"""What the mirror has now: its package lists, fetched once and kept for a day for all builds.

    <cache>/<key>/lists/        apt's downloaded lists, signatures checked
                  state.json    when, which sources are in them, which were left out and why

All layers of all images of one architecture are made from the same lists. A mirror that is in the
middle of a sync is asked again; a pocket (security, updates) that it cannot serve is left out and
told; the release itself cannot be left out. Signatures are always checked.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vct.build.apt import AptSource, host_acquire_options
from vct.build.suites import GPGV
from vct.drivers import process
from vct.errors import VctError

MAX_AGE_S = 24 * 3600
ATTEMPTS = 3
PAUSE_S = 4.0
SYNC = re.compile(r"Mirror sync in progress|Hash Sum mismatch|unexpected size")
MISSING = re.compile(r"404 +Not Found|does not have a Release file|doesn't have the component")
UNTRUSTED = re.compile(r"NO_PUBKEY|BADSIG|is not signed|signatures? (?:were|was|is) invalid|KEYSIG")
UNREACHABLE = re.compile(
    r"Could not resolve|Could not connect|failure resolving|Connection (?:refused|timed out|failed)"
    r"|Unable to connect"
)
EXPIRED = re.compile(r"is expired|is not valid yet|not yet valid")
ANOTHER = "another mirror: vct build --mirror URL"


class MirrorError(VctError):
    """A mirror does not have, or cannot serve, what is needed. `source` is the apt line.

    `said` is what apt said, `place` where in which recipe it was asked for.
    """

    def __init__(
        self, source: AptSource, problem: str, said: str, advice: str, place: str = ""
    ) -> None:
        lines = [f"| {line}" for line in said.splitlines()]
        super().__init__(
            f"{place}{source.suite} from {source.place}: {problem}",
            hint="\n".join([*lines, advice]),
        )
        self.source, self.problem = source.public, problem
        self._parts = source, problem, said, advice

    def at(self, place: str) -> MirrorError:
        """The same, saying where it was asked for."""
        return MirrorError(*self._parts, place=f"{place}: ")

    def details(self) -> dict[str, object]:
        return {"source": self.source}


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A source that could not be served: its apt line (without a password), and what apt said."""

    source: str
    suite: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """The signed head of one source. `date` is as the file has it, `sha256` is of the file."""

    source: str
    suite: str
    date: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A mirror's lists for one architecture as of `taken` (seconds since the epoch)."""

    arch: str
    directory: Path
    taken: float
    used: tuple[AptSource, ...]
    left_out: tuple[LeftOut, ...]
    releases: tuple[Release, ...]
    options: tuple[str, ...]

    @property
    def lists(self) -> Path:
        return self.directory / "lists"


def snapshot(
    sources: Sequence[AptSource],
    arch: str,
    *,
    cache: Path,
    check_dates: bool = True,
    not_before: float = 0.0,
    warn: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Snapshot:
    """The lists of these sources (the release first), from the cache if they are of today and not
    taken before `not_before` (seconds since the epoch).

    What was left out is told to `warn`, whether it was found out now or before. Raises MirrorError.
    """
    place = cache / key_of(sources, arch, check_dates=check_dates)
    options = acquire_lines(check_dates, place)
    found = _kept(place, sources, arch, options)
    if found is None or found.taken < not_before:
        cache.mkdir(parents=True, exist_ok=True)
        found = _take(sources, arch, place, options, sleep)
    for one in found.left_out:
        warn(f"without {one.suite}: {one.reason}")
    return found


def key_of(sources: Sequence[AptSource], arch: str, *, check_dates: bool) -> str:
    """The name of a snapshot in the cache."""
    asked = {"sources": [str(source) for source in sources], "arch": arch, "dates": check_dates}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def acquire_lines(check_dates: bool, place: Path) -> tuple[str, ...]:
    """How to reach the mirror and what to check there, as lines of apt.conf(5)."""
    lines = ['Acquire::Languages "none";', 'Acquire::Retries "3";', *host_acquire_options()]
    if not check_dates:
        lines += [
            'Acquire::Check-Valid-Until "false";',
            'Acquire::Check-Date "false";',
            f'APT::Key::gpgvcommand "{place / "gpgv"}";',
        ]
    return tuple(lines)


# --- the cache -----------------------------------------------------------------------------------


def _kept(
    place: Path, sources: Sequence[AptSource], arch: str, options: tuple[str, ...]
) -> Snapshot | None:
    try:
        state: dict[str, Any] = json.loads((place / "state.json").read_bytes())
        age = time.time() - state["taken"]
        if not 0 <= age < MAX_AGE_S:
            return None
        by_line = {str(source): source for source in sources}
        return Snapshot(
            arch=arch,
            directory=place,
            taken=state["taken"],
            used=tuple(by_line[line] for line in state["used"]),
            left_out=tuple(LeftOut(**one) for one in state["left_out"]),
            releases=tuple(Release(**one) for one in state["releases"]),
            options=options,
        )
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


def _take(
    sources: Sequence[AptSource],
    arch: str,
    place: Path,
    options: tuple[str, ...],
    sleep: Callable[[float], None],
) -> Snapshot:
    """Ask the mirror, and replace what the cache has."""
    work = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    try:
        _prepare(work, arch, [line.replace(str(place), str(work)) for line in options])
        used: list[AptSource] = []
        left_out: list[LeftOut] = []
        releases: list[Release] = []
        for source in sources:
            before = set((work / "lists").iterdir())
            refusal = _ask(source, work, sleep, needed=not used)
            if refusal is None:
                used.append(source)
                heads = set((work / "lists").glob("*Release")) - before
                releases.append(_release(source, heads))
            else:
                left_out.append(refusal)
        found = Snapshot(
            arch=arch,
            directory=place,
            taken=time.time(),
            used=tuple(used),
            left_out=tuple(left_out),
            releases=tuple(releases),
            options=options,
        )
        _write(found, work)
        shutil.rmtree(place, ignore_errors=True)
        work.rename(place)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return found


def _prepare(work: Path, arch: str, options: Sequence[str]) -> None:
    work.chmod(0o755)
    (work / "lists" / "partial").mkdir(parents=True)
    (work / "gpgv").write_text(GPGV)
    (work / "gpgv").chmod(0o755)
    (work / "apt.conf").write_text(render_update_conf(work, arch, options))


def _write(found: Snapshot, work: Path) -> None:
    state = {
        "taken": found.taken,
        "used": [str(source) for source in found.used],
        "left_out": [asdict(one) for one in found.left_out],
        "releases": [asdict(one) for one in found.releases],
    }
    (work / "state.json").write_text(json.dumps(state, indent=1) + "\n")


# --- asking --------------------------------------------------------------------------------------


def render_update_conf(work: Path, arch: str, options: Sequence[str]) -> str:
    """apt.conf(5) for `apt-get update` in a directory of its own: nothing of the host's is used."""
    lines = [
        *options,
        f'Dir::State::lists "{work}/lists";',
        f'Dir::State::status "{work}/status";',
        f'Dir::Cache "{work}/cache";',
        'Dir::Cache::pkgcache "";',
        'Dir::Cache::srcpkgcache "";',
        f'Dir::Etc::sourcelist "{work}/sources.list";',
        'Dir::Etc::sourceparts "/dev/null";',
        'Dir::Etc::parts "/dev/null";',
        'Dir::Etc::main "/dev/null";',
        'Dir::Etc::preferences "/dev/null";',
        'Dir::Etc::preferencesparts "/dev/null";',
        f'APT::Architecture "{arch}";',
        f'APT::Architectures {{ "{arch}"; }};',
        'APT::Get::List-Cleanup "false";',
        'APT::Sandbox::User "root";',
        'APT::Update::Error-Mode "any";',
    ]
    return "\n".join(lines) + "\n"


def _ask(
    source: AptSource, work: Path, sleep: Callable[[float], None], *, needed: bool
) -> LeftOut | None:
    """Fetch the lists of one source; returns why that cannot be, or raises if it must be."""
    (work / "sources.list").write_text(f"{source}\n")
    (work / "status").touch()
    (work / "cache").mkdir(exist_ok=True)
    said = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            sleep(PAUSE_S)
        done = process.run(
            ["apt-get", "update"], env={"APT_CONFIG": str(work / "apt.conf")}, check=False
        )
        said = last_words(done.stderr)
        if done.code == 0 and not MISSING.search(said):
            return None
        if not SYNC.search(said):  # apt has tried again by itself what cannot be reached
            break
    error = mirror_error(source, said)
    if not needed and (SYNC.search(said) or MISSING.search(said)):
        return LeftOut(source=source.public, suite=source.suite, reason=error.problem)
    raise error


def mirror_error(source: AptSource, said: str) -> MirrorError:
    """What apt said about a source, in our words."""
    if UNTRUSTED.search(said):
        return MirrorError(source, "its signature is not good", said, f"see {source.signed_by}")
    if SYNC.search(said):
        return MirrorError(
            source,
            "the mirror does not agree with itself, it seems to be in the middle of a sync",
            said,
            f"try again later, or {ANOTHER}",
        )
    if EXPIRED.search(said):
        return MirrorError(
            source,
            "the mirror's Release file is not of these days",
            said,
            "look at this host's clock; for an old release write check_dates: false",
        )
    if MISSING.search(said):
        return MirrorError(
            source, "the mirror does not have it", said, f"look at the suite's name, or {ANOTHER}"
        )
    if UNREACHABLE.search(said):
        return MirrorError(
            source, "the mirror cannot be reached", said, f"look at the network, or {ANOTHER}"
        )
    return MirrorError(source, "apt cannot read it", said, f"try again, or {ANOTHER}")


def last_words(stderr: str) -> str:
    """What apt said was wrong: its lines E: and W:, without those that only sum up."""
    lines = [line for line in stderr.splitlines() if line.startswith(("E: ", "W: "))]
    telling = [line for line in lines if not line.startswith("E: Some index files")]
    return "\n".join(telling or stderr.splitlines()[-5:])


def _release(source: AptSource, heads: Iterable[Path]) -> Release:
    """The facts of the source's Release file, one of `heads`: an InRelease goes first."""
    for file in sorted(heads, key=lambda head: not head.name.endswith("_InRelease")):
        content = file.read_bytes()
        date = re.search(rb"^Date: (.*)$", content, re.MULTILINE)
        return Release(
            source=source.public,
            suite=source.suite,
            date=date[1].decode(errors="replace") if date else "",
            sha256=hashlib.sha256(content).hexdigest(),
        )
    return Release(source=source.public, suite=source.suite, date="", sha256="")
