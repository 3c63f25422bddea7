"""Which Debian mirror to use and how to reach it: read from the host's own apt configuration.

Both formats of apt's sources (sources.list(5): one-line and deb822) are parsed here, purely. Only
Debian's own archive is taken from them, never a third party's repository. What the host's apt needs
to reach its mirror (proxy, certificates) is passed on; checking signatures is never switched off.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from vct.build.suites import ARCHIVE, KEYRING, KEYRINGS, suite_of
from vct.drivers import process
from vct.errors import HostError
from vct.model.recipe import Bootstrap

APT_DIRECTORY = Path("/etc/apt")
OS_RELEASE = Path("/etc/os-release")
ALIASES = ("stable", "oldstable", "testing")
POCKETS = ("", "-updates", "-security")
MIRROR_HINT = "say which Debian mirror to use: vct build --mirror URL, or set VCT_MIRROR"
# What the way to the mirror needs. Nothing that would switch off a check of signatures.
ACQUIRE_OPTION = re.compile(
    r"Acquire::(?:(?:http|https|ftp)(?:::.+)?|Check-Valid-Until|Check-Date|Max-ValidTime"
    r"|ForceIPv[46]|Proxy-Auto-Detect)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AptSource:
    """One repository of binary packages. `signed_by` is a keyring file, or "" where none is set."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = ""

    def __str__(self) -> str:
        options = f"[signed-by={self.signed_by}] " if self.signed_by else ""
        return f"deb {options}{self.uri} {self.suite} {' '.join(self.components)}"

    @property
    def place(self) -> str:
        """The URI without a user name and password."""
        parts = urlsplit(self.uri)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    @property
    def public(self) -> str:
        """The line without a user name and password that the URI may hold."""
        return str(replace(self, uri=self.place))


# --- reading apt's sources -----------------------------------------------------------------------


def parse_one_line(text: str) -> list[AptSource]:
    """The `deb` lines of a sources.list. Lines that apt would not understand are left out."""
    found = []
    for line in text.splitlines():
        match = re.fullmatch(
            r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s*(?P<rest>.*)",
            line.partition("#")[0].strip(),
        )
        if not match:
            continue
        options = dict(
            part.split("=", 1) for part in (match["options"] or "").split() if "=" in part
        )
        found.append(
            AptSource(
                uri=match["uri"],
                suite=match["suite"],
                components=tuple(match["rest"].split()),
                signed_by=_keyring(options.get("signed-by", "")),
            )
        )
    return found


def parse_deb822(text: str) -> list[AptSource]:
    """The stanzas of a .sources file: one source for each pair of URI and suite."""
    found = []
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for stanza in re.split(r"\n\s*\n", "\n".join(lines)):
        fields = _stanza(stanza)
        if "deb" not in fields.get("types", "").split():
            continue
        if fields.get("enabled", "yes").lower() in ("no", "false", "0", "off", "without"):
            continue
        found += [
            AptSource(
                uri=uri,
                suite=suite,
                components=tuple(fields.get("components", "").split()),
                signed_by=_keyring(fields.get("signed-by", "")),
            )
            for uri in fields.get("uris", "").split()
            for suite in fields.get("suites", "").split()
        ]
    return found


def _stanza(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line[:1] in (" ", "\t") and name:
            fields[name] += "\n" + line.strip()
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _keyring(value: str) -> str:
    """The keyring file of a Signed-By; "" for fingerprints and for keys written out in place."""
    first = value.split(",")[0].split("\n")[0].strip()
    return first if first.startswith("/") else ""


def select(
    entries: Iterable[AptSource], suite: str, host_suite: str, components: tuple[str, ...]
) -> tuple[AptSource, ...]:
    """Debian's archive for `suite`: the release, its updates and its security updates.

    `entries` is what the host has. Where they name another release (`host_suite`, or an alias such
    as `stable`) the same mirrors are used, as Debian's mirrors hold all its releases.
    """
    debian = [entry for entry in entries if _is_debian(entry)]
    for name in (suite, *((host_suite,) if host_suite else ()), *ALIASES):
        found: list[AptSource] = []
        for pocket in POCKETS:
            wanted = AptSource(uri="", suite=suite + pocket, components=components)
            for entry in debian:
                source = replace(wanted, uri=entry.uri, signed_by=entry.signed_by or KEYRING)
                if entry.suite == name + pocket and source not in found:
                    found.append(source)
        if any(source.suite == suite for source in found):
            return tuple(found)
    return ()


def _is_debian(entry: AptSource) -> bool:
    """Third parties' repositories also call themselves `bookworm main`: look at key and path."""
    if "main" not in entry.components:
        return False
    if entry.signed_by:
        return Path(entry.signed_by).name.startswith("debian-archive")
    path = urlsplit(entry.uri).path.rstrip("/")
    return entry.uri.startswith("mirror+file:") or path.rpartition("/")[2].startswith("debian")


# --- this host -----------------------------------------------------------------------------------


def bootstrap_sources(
    bootstrap: Bootstrap,
    mirror: str = "",
    *,
    directory: Path = APT_DIRECTORY,
    os_release: Path = OS_RELEASE,
) -> tuple[AptSource, ...]:
    """Where to get what a recipe bootstraps. `mirror` goes before the recipe's own.

    An old release comes from Debian's archive, where `host` or `archive` is asked for.
    Raises HostError when the host's apt has no Debian archive.
    """
    chosen, suite = mirror or bootstrap.mirror, suite_of(bootstrap.suite)
    keyring = _keyring_path(bootstrap.keyring) or suite.keyring
    if chosen == "archive" or (chosen == "host" and suite.archived):
        found = archive_sources(suite.name, bootstrap.components)
    else:
        found = sources(
            suite.name,
            chosen,
            bootstrap.components,
            directory=directory,
            os_release=os_release,
        )
    if bootstrap.keyring or suite.archived:
        found = tuple(replace(source, signed_by=keyring) for source in found)
    return found


def archive_sources(suite: str, components: tuple[str, ...]) -> tuple[AptSource, ...]:
    """Debian's archive of old releases. The last point release has all updates."""
    known = suite_of(suite)
    return (
        AptSource(
            uri=f"{ARCHIVE}/debian", suite=suite, components=components, signed_by=known.keyring
        ),
        AptSource(
            uri=f"{ARCHIVE}/debian-security",
            suite=known.security,
            components=components,
            signed_by=known.keyring,
        ),
    )


def checks_dates(bootstrap: Bootstrap) -> bool:
    """Whether an expired Release file is refused: as the recipe says, else as the suite wants."""
    if bootstrap.check_dates is not None:
        return bootstrap.check_dates
    return suite_of(bootstrap.suite).check_dates


def _keyring_path(name: str) -> str:
    return name if not name or name.startswith("/") else f"{KEYRINGS}/{name}"


def sources(
    suite: str,
    mirror: str,
    components: tuple[str, ...],
    *,
    directory: Path = APT_DIRECTORY,
    os_release: Path = OS_RELEASE,
) -> tuple[AptSource, ...]:
    """Where to get `suite` from. `mirror` is a URL, or `host` for what this host's apt uses.

    A given mirror is used alone: it has no security updates unless it merges them itself.
    Raises HostError when the host's apt has no Debian archive.
    """
    if mirror != "host":
        return (AptSource(uri=mirror, suite=suite, components=components, signed_by=KEYRING),)
    host_suite = _os_field(os_release, "VERSION_CODENAME") if _is_debian_host(os_release) else ""
    found = select(_host_entries(directory), suite, host_suite, components)
    if not found:
        raise HostError(f"this host's apt has no Debian mirror for {suite}", hint=MIRROR_HINT)
    return found


def check_keyrings(wanted: Iterable[AptSource]) -> None:
    """Raises HostError when a keyring that the mirror is checked with is not there."""
    for source in wanted:
        if source.signed_by and not Path(source.signed_by).is_file():
            raise HostError(
                f"the keyring {source.signed_by} is missing",
                hint="run: apt-get install debian-archive-keyring",
            )


def _host_entries(directory: Path) -> list[AptSource]:
    entries: list[AptSource] = []
    parts = directory / "sources.list.d"
    for file in (directory / "sources.list", *sorted(parts.glob("*.list"))):
        if file.is_file():
            entries += parse_one_line(file.read_text(errors="replace"))
    for file in sorted(parts.glob("*.sources")):
        entries += parse_deb822(file.read_text(errors="replace"))
    return entries


def _is_debian_host(os_release: Path) -> bool:
    return _os_field(os_release, "ID") == "debian"


def _os_field(file: Path, name: str) -> str:
    if not file.is_file():
        return ""
    for line in file.read_text().splitlines():
        key, _, value = line.partition("=")
        if key == name:
            return value.strip("\"'")
    return ""


def acquire_options(dump: str) -> list[str]:
    """From `apt-config dump`: the lines that say how to reach the mirror (proxy, certificates)."""
    return [
        line
        for line in dump.splitlines()
        if ACQUIRE_OPTION.fullmatch(line.partition(" ")[0].rstrip(":"))
        and not line.endswith(' "";')
    ]


def host_acquire_options() -> list[str]:
    """How this host's apt reaches its mirror, as lines of apt.conf(5)."""
    return acquire_options(process.run(["apt-config", "dump", "Acquire"]).stdout)


def package_version(package: str) -> str:
    """The installed version of a Debian package of this host, or "" when it is not installed."""
    found = process.run(["dpkg-query", "-W", "-f=${Version}", package], check=False)
    return found.stdout.strip() if found.code == 0 else ""
