"""vct itself as a wheel, for images that hold a part of it: what pip would make, without pip.

The same sources give the same bytes. Recipes and file trees are left out: nothing is built inside.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import vct

DIRECTORY = "usr/share/vct/wheels"  # in the image
NAME = f"vct-{vct.__version__}-py3-none-any.whl"
INFO = f"vct-{vct.__version__}.dist-info"
DATE = (2025, 1, 1, 0, 0, 0)
METADATA = f"""\
Metadata-Version: 2.1
Name: vct
Version: {vct.__version__}
Summary: Virtual CONFINE Testbed: LXC nodes with imperfect links on one PC
License: GPL-3.0-or-later
Requires-Python: >=3.11
"""
WHEEL = "Wheel-Version: 1.0\nGenerator: vct\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
ENTRY_POINTS = "[console_scripts]\nvct = vct.cli.main:main\n"


def wheel_files() -> dict[str, bytes]:
    """Path in the image to content."""
    return {f"{DIRECTORY}/{NAME}": pack_wheel(_sources(Path(vct.__file__).parent))}


def pack_wheel(sources: Mapping[str, bytes]) -> bytes:
    """A wheel of these files (the binary distribution format of PyPA, version 1.0)."""
    files = dict(sorted(sources.items()))
    files[f"{INFO}/METADATA"] = METADATA.encode()
    files[f"{INFO}/WHEEL"] = WHEEL.encode()
    files[f"{INFO}/entry_points.txt"] = ENTRY_POINTS.encode()
    lines = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    record = f"{INFO}/RECORD"
    files[record] = "\n".join([*lines, f"{record},,", ""]).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)
    return packed.getvalue()


def _sources(package: Path) -> dict[str, bytes]:
    found = {}
    for path in package.rglob("*"):
        parts = path.relative_to(package).parts
        if path.is_file() and parts[0] != "data" and "__pycache__" not in parts:
            found["/".join((package.name, *parts))] = path.read_bytes()
    return found


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
