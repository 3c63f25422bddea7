"""Builds nodes' firmware: the archive of files that make a machine a node of this testbed.

The API and the node's page call `request`, the worker `build_wanted`, which also takes up what a
crash interrupted. A node without keys gets some made here; keys that its maker has stay there.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import logging
import shutil
import tarfile
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from vct.controller.audit.models import record
from vct.controller.files.alone import alone
from vct.controller.firmware import keys
from vct.controller.firmware.enrolment import certify, join
from vct.controller.firmware.files import Firmware, firmware_of
from vct.controller.firmware.models import BaseImage, Build, BuildState
from vct.controller.mgmt.models import TincHost
from vct.controller.nodes.models import Node
from vct.controller.pki.authority import write_file
from vct.controller.problems import ConflictError, ControllerError
from vct.errors import VctError
from vct.wire import firmware
from vct.wire.limits import MgmtBackend

LOG = logging.getLogger(__name__)
BUILDS = "firmware/build"  # below the private directory
TOP = "confine"
README = """Configuration of node {name} of testbed {testbed}: the files of its directory
{directory}. Unpack them there as root, with their modes. {keys}
"""
WITH_KEYS = "Private keys are in this archive: keep it as you would keep them."
WITHOUT = "Not in this archive, as whoever made them has them: {names}. Put them beside the others."


def request(node: Node, options: dict[str, Any]) -> Build:
    """A build that takes the place of the node's last one; the worker does it.

    `options` are members of the API. Raises ControllerError while one is going on,
    ValidationError for a base image that does not fit.
    """
    image = _base_image(node, options.get("base_image_id"))
    base = str(options.get("registry_base_uri", ""))
    if base.startswith("https:") and not options.get("registry_cert"):
        raise ValidationError({"registry_cert": "A registry with https needs its certificate."})
    with transaction.atomic():
        known = Build.objects.filter(node=node).first()
        if known and known.state in Build.RUNNING:
            raise ControllerError("the firmware of this node is being built")
        if known:
            discard(known)
        return Build.objects.create(node=node, base_image=image, options=options)


def discard(build: Build) -> None:
    """The build and its file are gone; the node's keys stay."""
    build.delete()
    if build.path:
        path = Path(settings.CONFIG.private) / build.path
        transaction.on_commit(lambda: path.unlink(missing_ok=True))


def build_wanted() -> None:
    """Does what was requested, and again what a crash interrupted; one process at a time."""
    if not Build.objects.filter(state__in=Build.RUNNING).exists():
        return
    with alone(_builds()):
        for build in Build.objects.filter(state__in=Build.RUNNING).select_related("node__group"):
            perform(build)


def perform(build: Build) -> None:
    """Ends in AVAILABLE or FAILED, with words that say why; or is withdrawn meanwhile."""
    try:
        build.change(state=BuildState.BUILDING, progress=50)
        build.change(**_built(build))
    except ConflictError:
        LOG.info("firmware of %s: withdrawn while it was built", build.node)
    else:
        LOG.info("firmware of %s: %s", build.node, build.state)


def _built(build: Build) -> dict[str, Any]:
    """What the build becomes."""
    try:
        with transaction.atomic():
            _ensure_identity(build.node, build.options)
            given = _given(build.node, build.options)
        path, sha256, words = _pack(build.node, given)
    except ValidationError as error:
        return _failed(" ".join(error.messages))
    except (VctError, ValueError, OSError) as error:
        return _failed(str(error))
    return {
        "state": BuildState.AVAILABLE,
        "progress": 100,
        "message": words,
        "path": path,
        "sha256": sha256,
        "inputs": _digest(given),
    }


def _failed(words: str) -> dict[str, Any]:
    return {"state": BuildState.FAILED, "progress": 0, "message": words}


def current_state(build: Build) -> BuildState:
    """OUTDATED when it would be another if it was built now."""
    state = BuildState(build.state)
    if state is not BuildState.AVAILABLE or not build.inputs:
        return state
    try:
        same = _digest(_given(build.node, build.options)) == build.inputs
    except (VctError, ValueError):
        same = False
    return state if same else BuildState.OUTDATED


def sweep() -> None:
    """Keys and files of nodes that are gone."""
    known = {str(pk) for pk in Node.objects.values_list("pk", flat=True)}
    for place in (keys.directory(), _builds()):
        for path in place.iterdir() if place.is_dir() else ():
            if path.name.isdigit() and path.name not in known:
                shutil.rmtree(path, ignore_errors=True)


def _builds() -> Path:
    return Path(settings.CONFIG.private) / BUILDS


def _base_image(node: Node, number: int | None) -> BaseImage | None:
    """The one that is asked for, else the default if it fits."""
    fits = [image for image in BaseImage.objects.all() if node.arch in image.architectures]
    if number is None:
        return next((image for image in fits if image.is_default), None)
    for image in fits:
        if image.pk == number:
            return image
    words = f"There is no base image {number} for {node.arch}."
    raise ValidationError({"base_image_id": words})


def _ensure_identity(node: Node, options: dict[str, Any]) -> None:
    """A node that has no certificate, or no key for tinc, gets one of keys that are kept here."""
    changed: dict[str, object] = {}
    if not (node.api_cert and node.api_base_uri):
        changed |= certify(node, keys.request_for(node), MgmtBackend(node.mgmt_backend))
    if node.mgmt_backend == MgmtBackend.TINC:
        tinc = TincHost.objects.filter(node=node).first()
        pubkey = tinc.pubkey if tinc else keys.tinc_pubkey(node)
        changed |= join(node, pubkey, gateway=options.get("tinc_default_gateway"))
    if changed:
        record(None, "enrol", node, changed)
        node.refresh_from_db()


def _given(node: Node, options: dict[str, Any]) -> Firmware:
    return firmware_of(
        node,
        sync_node_admins=bool(options.get("sync_node_admins", False)),
        registry_base_uri=str(options.get("registry_base_uri", "")),
        registry_cert=str(options.get("registry_cert", "")),
    )


def _digest(given: Firmware) -> str:
    digest = hashlib.sha256(given.text.encode())
    for name, text in sorted(given.files.items()):
        digest.update(f"\0{name}\0{text}".encode())
    return digest.hexdigest()


def _pack(node: Node, given: Firmware) -> tuple[str, str, str]:
    """Where the archive is below the private directory, its digest, words for people."""
    secret = keys.private_files(node)
    expected = [firmware.API_KEY]
    if firmware.TINC_CONF in given.files:
        expected.append(firmware.TINC_KEY)
    missing = [name for name in expected if name not in secret]
    words = WITHOUT.format(names=", ".join(missing)) if missing else WITH_KEYS
    readme = README.format(
        name=node.name,
        testbed=given.config.testbed.name,
        directory=firmware.DIRECTORY,
        keys=words,
    )
    files = {"README": readme, firmware.CONFIG: given.text, **given.files, **secret}
    content = _archive(files)
    path = f"{BUILDS}/{node.pk}/confine-firmware-{node.pk}.tar.gz"
    write_file(Path(settings.CONFIG.private) / path, content, 0o600)
    return path, hashlib.sha256(content).hexdigest(), words


def _archive(files: dict[str, str]) -> bytes:
    """A tar.gz, the same for the same files."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, text in sorted(files.items()):
            entry = tarfile.TarInfo(f"{TOP}/{name}")
            entry.size, entry.mode = len(text.encode()), _mode(name)
            entry.uname = entry.gname = "root"
            archive.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


def _mode(name: str) -> int:
    if name in firmware.SECRET_FILES:
        return 0o600
    return 0o755 if name in firmware.SCRIPTS else 0o644
