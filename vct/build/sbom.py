"""A bill of materials of an image in CycloneDX JSON, from what its record says.

The library (cyclonedx-python-lib, optional: `pip install vct[sbom]`) is loaded when it is asked
for. The same image always gives the same text: serial number and date come from the image.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from vct import __version__
from vct.build.bill import Package
from vct.errors import HostError

NAMESPACE = uuid.UUID("3e2a7b0e-6a0c-5d54-9e4e-0a9f4c5b7d11")  # of serial numbers: any, but fixed


def package_url(package: Package) -> str:
    """The package's purl (package-url/purl-spec, type deb)."""
    version = quote(package.version, safe=".+-~")
    source = f"&source={quote(package.source, safe='')}" if package.source != package.name else ""
    return f"pkg:deb/debian/{package.name}@{version}?arch={package.arch}{source}"


def render_sbom(
    *, name: str, version: str, arch: str, digest: str, built: str, packages: Sequence[Package]
) -> str:
    """CycloneDX 1.5 JSON. `digest` is the image's, `built` an ISO 8601 time.

    Raises HostError when the library is not installed.
    """
    try:
        from cyclonedx.model.bom import Bom, BomMetaData
        from cyclonedx.model.component import Component, ComponentType
        from cyclonedx.model.tool import ToolRepository
        from cyclonedx.output.json import JsonV1Dot5
    except ImportError:
        raise HostError(
            "the library cyclonedx-python-lib is not installed",
            hint="run: pip install cyclonedx-python-lib",
        ) from None
    image = Component(
        type=ComponentType.OPERATING_SYSTEM,
        name=name,
        version=version,
        bom_ref=f"{name}:{arch}:{digest[:12]}",
        properties=_properties({"vct:arch": arch, "vct:digest": digest}),
    )
    tool = Component(type=ComponentType.APPLICATION, name="vct", version=__version__, bom_ref="vct")
    bom = Bom(
        serial_number=uuid.uuid5(NAMESPACE, digest),
        metadata=BomMetaData(
            component=image,
            timestamp=datetime.fromisoformat(built),
            tools=ToolRepository(components=[tool]),
        ),
        components=[_component(package) for package in packages],
    )
    bom.register_dependency(image, list(bom.components))
    text = JsonV1Dot5(bom).output_as_string()
    return json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n"


def _component(package: Package) -> Any:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    url = package_url(package)
    digests = [HashType(alg=HashAlgorithm.SHA_256, content=package.sha256)]
    return Component(
        type=ComponentType.LIBRARY,
        name=package.name,
        version=package.version,
        bom_ref=url,
        purl=PackageURL.from_string(url),
        hashes=digests if package.sha256 else [],
        properties=_properties(
            {"debian:source": package.source, "debian:source-version": package.source_version}
        ),
    )


def _properties(values: Mapping[str, str]) -> list[Any]:
    from cyclonedx.model import Property

    return [Property(name=name, value=value) for name, value in values.items()]
