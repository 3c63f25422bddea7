"""What is special about old Debian releases: where they are, which keys signed them, their dates.

A release that has left the mirrors is in Debian's archive, its Release file has expired and so
have the keys. Its signatures are checked all the same: only dates are not (see `GPGV`).
Facts: archive.debian.org, package debian-archive-keyring, mmdebstrap(1).
"""

from __future__ import annotations

from dataclasses import dataclass

ARCHIVE = "http://archive.debian.org"
KEYRINGS = "/usr/share/keyrings"
KEYRING = f"{KEYRINGS}/debian-archive-keyring.gpg"
REMOVED_KEYS = f"{KEYRINGS}/debian-archive-removed-keys.gpg"
HOOKS = "/usr/share/mmdebstrap/hooks"
# Merges /usr before packages are unpacked, where the suite wants it; else Debian's own way of doing
# it (usrmerge) keeps 45 MiB of perl in the image for ever.
MERGED_USR = f"{HOOKS}/maybe-merged-usr"

# gpgv(1) says EXPKEYSIG for a good signature by a key that has expired since, and apt takes that
# for no signature. This says GOODSIG instead; a bad or a missing signature stays what it is.
GPGV = r"""#!/bin/sh
# gpgv for an old release: its keys may have expired, nothing else is forgiven.
descriptor=1
previous=
for word in "$@"; do
  [ "$previous" = --status-fd ] && descriptor=$word
  previous=$word
done
status=$(mktemp) || exit 2
trap 'rm -f "$status"' EXIT
eval "gpgv \"\$@\" $descriptor>\"\$status\""
code=$?
sed -e 's/ EXPKEYSIG / GOODSIG /' -e '/ KEYEXPIRED /d' "$status" >&"$descriptor"
exit $code
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """How to get a release. `security` is its pocket's name; hooks are mmdebstrap's."""

    name: str
    archived: bool = False
    keyring: str = KEYRING
    check_dates: bool = True
    security: str = ""
    hooks: tuple[str, ...] = (MERGED_USR,)


def _old(name: str, *hooks: str) -> Suite:
    return Suite(
        name=name,
        archived=True,
        keyring=REMOVED_KEYS,
        check_dates=False,
        security=f"{name}/updates",
        hooks=hooks or (MERGED_USR,),
    )


# dpkg before stretch knows no multi-arch file lists' format: mmdebstrap has a hook for it
OLD = {
    suite.name: suite
    for suite in (
        _old("wheezy", f"{HOOKS}/jessie-or-older"),
        _old("jessie", f"{HOOKS}/jessie-or-older"),
        _old("stretch"),
        _old("buster"),
    )
}


def suite_of(name: str) -> Suite:
    """What is known of a suite; a release of today needs nothing special."""
    return OLD.get(name) or Suite(name=name, security=f"{name}-security")
