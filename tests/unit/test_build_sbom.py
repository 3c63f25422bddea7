"""Bills of materials: valid CycloneDX, and always the same for the same image."""

from __future__ import annotations

import builtins
import json
from typing import Any

import pytest

from vct.build.bill import Package
from vct.build.sbom import package_url, render_sbom
from vct.errors import HostError

APT = Package(
    name="libc6",
    version="1:2.36-9+deb12u1",
    arch="i386",
    source="glibc",
    source_version="2.36-9",
    size_kib=9,
    sha256="a" * 64,
)


def made() -> str:
    return render_sbom(
        name="base-debian",
        version="1",
        arch="i386",
        digest="b" * 64,
        built="2026-01-02T03:04:05+00:00",
        packages=[APT],
    )


def test_it_works() -> None:
    found = json.loads(made())
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.5")
    [component] = found["components"]
    assert (component["name"], component["version"]) == ("libc6", "1:2.36-9+deb12u1")
    assert component["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]


def test_the_same_image_gives_the_same_text() -> None:
    assert made() == made()


def test_it_is_valid_by_the_formats_own_schema() -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(made()) is None


def test_a_package_url_names_version_architecture_and_source() -> None:
    assert package_url(APT) == "pkg:deb/debian/libc6@1%3A2.36-9+deb12u1?arch=i386&source=glibc"


def test_a_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.startswith("cyclonedx"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(HostError) as caught:
        made()
    assert caught.value.hint == "run: pip install cyclonedx-python-lib"
