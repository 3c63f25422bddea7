"""A recipe as users write it: keys and types, value by value. `vct.model.recipe` makes sense of it.

What may be written in two ways (text or a mapping, a list or a mapping) is an `_either`. The JSON
Schema for editors is made from these classes.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    WithJsonSchema,
    create_model,
)

from vct.model.units import SIZE, WrongValue, parser, shorten
from vct.model.validate import MAPPING, OTHER, suggestion

ARCHITECTURES = ("amd64", "i386")
KINDS = ("base", "node", "controller", "sliver-template", "vct-container")
FORMATS = ("directory", "squashfs", "tar.zst", "lxc", "incus")
FETCHED = ("tar.gz", "tar.xz", "tar.zst", "squashfs")
NAME_MAX = 63
COMPRESSION_MAX = 22  # zstd's
WHEEL_LIST = ".wheels.txt"  # pip's requirements, each with its version and digest
PARAMETER = r"[a-z][a-z0-9_]*"
FILLED = r"\$\{"  # in the JSON Schema: what a parameter is to fill in is not known there


def _matching(pattern: str, noun: str, hint: str, most: int = 255) -> tuple[Any, ...]:
    compiled = re.compile(pattern)

    def checked(text: str) -> str:
        if not compiled.fullmatch(text) or len(text) > most:
            raise WrongValue(f"{shorten(text)!r} is not {noun}", hint=hint)
        return text

    return AfterValidator(checked), Field(
        json_schema_extra={"pattern": rf"^(?:{pattern})$|{FILLED}"}
    )


def _one_of(known: tuple[str, ...], noun: str) -> tuple[Any, ...]:
    def checked(text: str) -> str:
        if text not in known:
            raise WrongValue(f"unknown {noun} {shorten(text)!r}", hint=suggestion(text, known))
        return text

    return AfterValidator(checked), _schema_of(known)


def _schema_of(known: tuple[str, ...]) -> Any:
    return Field(json_schema_extra={"anyOf": [{"enum": list(known)}, {"pattern": FILLED}]})


def _unique(noun: str) -> AfterValidator:
    def checked(values: list[str]) -> list[str]:
        for index, value in enumerate(values):
            if value in values[:index]:
                raise WrongValue(f"has the {noun} {shorten(value)} twice", hint="keep one of them")
        return values

    return AfterValidator(checked)


def _below(text: str) -> str:
    parts = text.split("/")
    if text.startswith("/") or ".." in parts or not text.strip("./") or "\0" in text:
        raise WrongValue(
            f"{shorten(text)!r} is not a path below the directory that holds recipes/",
            hint="write such as images/node-debian",
        )
    return text


def _written(text: str) -> str:
    if not text.strip():
        raise WrongValue("is empty", hint="write a shell command, or remove the line")
    return text


def _wheel(text: str) -> str:
    if text.endswith(WHEEL_LIST):
        return _below(text)
    if text != "vct":
        raise WrongValue(
            f"unknown wheel {shorten(text)!r}",
            hint=f"write vct for our own, or a list of others: recipes/NAME{WHEEL_LIST}",
        )
    return text


def _scalar(value: object) -> object:
    """A parameter's value is text; numbers and truths are taken as they were meant."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _either(mapping: Any, other: Any) -> Any:
    """What may be a mapping or something else; errors are then about the one that is there."""

    def shape(value: object) -> str:
        return MAPPING if isinstance(value, dict) else OTHER

    return Annotated[
        Annotated[mapping, Tag(MAPPING)] | Annotated[other, Tag(OTHER)], Discriminator(shape)
    ]


Name = Annotated[
    str,
    *_matching(
        r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*",
        "an image name",
        "use lower-case letters, digits and single dashes, a letter first",
        NAME_MAX,
    ),
]
Architecture = Annotated[str, *_one_of(ARCHITECTURES, "architecture")]
Package = Annotated[
    str,
    *_matching(  # Debian policy 5.6.7 and 5.6.12
        r"set:[a-z][a-z0-9-]*|[a-z0-9][a-z0-9+.-]+(?:=[0-9][A-Za-z0-9.+:~-]*)?",
        "a Debian package",
        "write its name, name=version, or set:NAME for one of package_sets",
    ),
]
Packages = Annotated[list[Package], _unique("package")]
SetName = Annotated[
    str,
    *_matching(r"[a-z][a-z0-9-]*", "a set's name", "use lower-case letters, digits and dashes"),
]
Parameter = Annotated[
    str,
    *_matching(PARAMETER, "a parameter's name", "use lower-case letters, digits and underscores"),
]
Pattern = Annotated[
    str,
    *_matching(
        r"/[^\s\"'\\]+",
        "a path pattern",
        "write an absolute path as in dpkg's path-exclude, such as /usr/share/man/*",
    ),
]
Suite = Annotated[
    str, *_matching(r"[a-z][a-z0-9.-]*", "a suite", "write a release's code name, such as bookworm")
]
Mirror = Annotated[
    str,
    *_matching(
        r"host|archive|https?://[^\s\[\]]+",
        "a mirror",
        "write host for the one that this host's apt uses, archive for Debian's archive of old "
        "releases, or a URL",
    ),
]
Component = Annotated[str, *_matching(r"[a-z][a-z-]*", "a component", "write such as main")]
Keyring = Annotated[
    str,
    *_matching(
        r"(?:/(?:[A-Za-z0-9_+.-]+/)*)?[A-Za-z0-9_+-][A-Za-z0-9_+.-]*\.(?:gpg|asc|pgp)",
        "a keyring",
        "write a file's absolute path, or the name of one in /usr/share/keyrings",
    ),
]
Url = Annotated[
    str,
    *_matching(
        r"(?:https?://[^/\s]+|file://)/\S+", "a URL", "write https://…, http://… or file:///…", 2048
    ),
]
Sha256 = Annotated[
    str, *_matching(r"[0-9a-f]{64}", "a sha256", "write 64 hex digits, as sha256sum prints them")
]
Wheel = Annotated[
    str,
    AfterValidator(_wheel),
    Field(json_schema_extra={"pattern": rf"^vct$|\.wheels\.txt$|{FILLED}"}),
]
Module = Annotated[
    str,
    *_matching(
        r"vct(?:\.[a-z][a-z0-9_]*)+",
        "a module of vct",
        "write such as vct.wire for a whole room, or vct.names for one module",
    ),
]
Version = Annotated[
    str, *_matching(r"[A-Za-z0-9][A-Za-z0-9.+~_-]*", "a version", 'write such as "1.2"', NAME_MAX)
]
HookName = Annotated[
    str,
    *_matching(
        r"[A-Za-z0-9][A-Za-z0-9._-]*",
        "a hook's name",
        "write the name of a file in images/<this image>/hooks",
    ),
]
Size = Annotated[
    int,
    BeforeValidator(parser(SIZE)),
    WithJsonSchema({"type": "string", "pattern": f"^{SIZE.pattern}$|{FILLED}"}),
]
Text = Annotated[str, AfterValidator(_written), StringConstraints()]
Value = Annotated[
    str | None,
    BeforeValidator(_scalar),
    WithJsonSchema({"type": ["string", "number", "boolean", "null"]}),
]


class Written(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WrittenBootstrap(Written):
    """Make a root file system from nothing, by mmdebstrap."""

    suite: Suite = Field(examples=["bookworm"])
    variant: Literal["minbase", "apt", "essential", "important", "standard"] = "minbase"
    mirror: Mirror = "host"
    components: Annotated[list[Component], Field(min_length=1, examples=["[main]"])] = ["main"]
    keyring: Keyring | None = None
    check_dates: bool | None = None


class WrittenSource(Written):
    """One file to fetch for one architecture."""

    url: Url = Field(examples=["https://example.org/root.tar.xz"])
    sha256: Sha256 = Field(examples=["the output of: sha256sum FILE"])


class WrittenFetch(Written):
    """Take a root file system that somebody else made."""

    url: _either(dict[Architecture, WrittenSource], Url) = Field(  # type: ignore[valid-type]
        examples=["https://example.org/root.tar.xz"]
    )
    sha256: Sha256 | None = None
    format: Annotated[str, *_one_of(FETCHED, "format")] | None = None
    strip: Annotated[int, Field(ge=0, le=20)] = 0
    size_max: Size = 512


class WrittenRun(Written):
    """A command with something special about it."""

    command: Text = Field(examples=["date"])
    network: bool = False


class WrittenOutput(Written):
    """How the image is kept. `compression` is zstd's level."""

    format: Annotated[str, *_one_of(FORMATS, "format")] = "directory"
    compression: Annotated[int, Field(ge=1, le=COMPRESSION_MAX)] = 3


class WrittenPackages(Written):
    """Packages for all architectures and for each."""

    all: Packages = []
    amd64: Packages = []
    i386: Packages = []


class _WrittenRecipe(Written):
    name: Name = Field(examples=["node-mine"])
    kind: Annotated[str, *_one_of(KINDS, "kind")] = Field(examples=["node"])
    version: Version = "1"
    architectures: Annotated[
        list[Architecture],
        _unique("architecture"),
        Field(min_length=1, examples=["[amd64, i386]"]),
    ] = list(ARCHITECTURES)
    parameters: dict[Parameter, Value] = {}
    bootstrap: WrittenBootstrap | None = None
    fetch: WrittenFetch | None = None
    package_sets: dict[SetName, Packages] = {}
    packages: _either(WrittenPackages, Packages) = []  # type: ignore[valid-type]
    exclude: list[Pattern] = []
    files: Annotated[str, AfterValidator(_below)] | None = None
    wheels: Annotated[list[Wheel], _unique("wheel")] = []
    modules: Annotated[list[Module], _unique("module")] = []
    run: list[_either(WrittenRun, Text)] = []  # type: ignore[valid-type]
    hooks: Annotated[list[HookName], _unique("hook")] = []
    output: WrittenOutput = WrittenOutput()


# `from` cannot be written as a name in Python
WrittenRecipe: Any = create_model(  # type: ignore[call-overload]
    "WrittenRecipe", __base__=_WrittenRecipe, **{"from": (Name | None, None)}
)
