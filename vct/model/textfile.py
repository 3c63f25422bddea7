"""Files of users as text, and the mark by which a text that was read before is known again.

Light: a second `vct init` of the same file needs nothing else of the model (see vct.verbs.record).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import vct
from vct.errors import InputError

SIZE_MAX = 4 * 1024 * 1024


def read_text(file: Path) -> str:
    """The text of a UTF-8 file of at most 4 MiB. Raises InputError."""
    try:
        with file.open("rb") as stream:
            data = stream.read(SIZE_MAX + 1)
    except FileNotFoundError:
        raise InputError("there is no such file", file=str(file), hint="check the path") from None
    except IsADirectoryError:
        raise InputError("is a directory, not a file", file=str(file)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot be read: {reason}", file=str(file)) from None
    if len(data) > SIZE_MAX:
        raise InputError(
            "is larger than 4 MiB", file=str(file), hint="is this the file that you meant?"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        raise InputError(
            "is not UTF-8 text",
            file=str(file),
            line=before.count(b"\n") + 1,
            column=len(before) - before.rfind(b"\n"),
            hint="save the file as UTF-8",
        ) from None


def fingerprint(text: str, name: str | None) -> str:
    """What the meaning of a testbed file hangs on, as a digest: its text, the name that it gets
    from outside, and the code that gives it its meaning, so that nothing of an older vct is kept.
    """
    code = Path(vct.__file__).parent
    digest = hashlib.sha256(f"{vct.__version__}\0{name or ''}\0{text}\0".encode())
    for file in sorted([*code.glob("*.py"), *code.glob("model/*.py")]):
        digest.update(file.read_bytes())
    return digest.hexdigest()
