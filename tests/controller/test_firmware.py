"""Firmware: the archive that makes a machine a node, built on request, told when it is outdated."""

from __future__ import annotations

import io
import itertools
import tarfile
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from django.test import Client
from pytest_django import Settings

from tests.controller.caller import Caller
from tests.controller.factories import a_group, a_node, a_pubkey, a_tinc_host, a_user, rsa_key
from tests.controller.test_enrol import enrol
from tests.controller.test_enrol import ready as ready
from vct.controller.firmware import builder, keys
from vct.controller.firmware.models import BaseImage, Build
from vct.controller.mgmt.models import TincHost
from vct.controller.nodes.models import Node, ServerApi
from vct.controller.problems import ConflictError
from vct.wire import firmware
from vct.wire.relations import EXPECT_CREATED

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making an RSA key takes a while."""
    numbers = itertools.count(10)
    monkeypatch.setattr(keys, "generate_rsa", lambda *_: rsa_key(next(numbers)))


@pytest.fixture
def sue() -> Caller:
    return Caller(a_user("Sue", is_superuser=True))


def built(caller: Caller, node: Node, **options: Any) -> dict[str, Any]:
    """What the API says of a build that is done at once."""
    answer = caller.post(uri(node), options, Expect=EXPECT_CREATED)
    assert answer.status_code == 201, answer.json()
    shown: dict[str, Any] = answer.json()
    return shown


def uri(node: Node) -> str:
    return f"/api/nodes/{node.pk}/ctl/firmware/"


def unpacked(caller: Caller, shown: dict[str, Any]) -> dict[str, tuple[int, str]]:
    """Mode and text of each file of the archive that was downloaded."""
    content = b"".join(caller.get(shown["image_url"]).streaming_content)
    found = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for entry in archive:
            file = archive.extractfile(entry)
            assert file is not None
            assert (entry.uid, entry.gid) == (0, 0)
            found[entry.name.removeprefix("confine/")] = (entry.mode, file.read().decode())
    return found


def public(text: str) -> bytes:
    key = load_pem_private_key(text.encode(), password=None).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_it_works(sue: Caller) -> None:
    node = a_node(pk=1, name="roof")
    shown = built(sue, node)
    assert (shown["state"], shown["progress"], shown["next"]) == ("AVAILABLE", None, None)
    assert shown["image_url"] == "/private/firmware/build/image/1/confine-firmware-1.tar.gz"
    files = unpacked(sue, shown)
    assert firmware.parse(files["node.json"][1]).node.name == "roof"
    assert {name: mode for name, (mode, _) in files.items() if mode != 0o644} == {
        "api.key.pem": 0o600,
        "tinc/rsa_key.priv": 0o600,
        "tinc/tinc-up": 0o755,
        "tinc/tinc-down": 0o755,
    }
    certificate = x509.load_pem_x509_certificate(files["api.crt.pem"][1].encode())
    known = certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert public(files["api.key.pem"][1]) == known
    assert public(files["tinc/rsa_key.priv"][1]).decode() == TincHost.objects.get(node=1).pubkey
    assert "keep it as" in files["README"][1]
    assert Node.objects.get().set_state == "safe"


def test_the_worker_builds_what_was_asked_for(sue: Caller) -> None:
    node = a_node(pk=1)
    answer = sue.post(uri(node))
    assert (answer.status_code, answer.json()["next"]) == (202, "QUEUED")
    assert sue.post(uri(node)).status_code == 429
    builder.build_wanted()
    assert sue.get(uri(node)).json()["state"] == "AVAILABLE"
    assert sue.post(uri(node)).status_code == 202


def test_what_a_crash_interrupted_is_built_again(sue: Caller) -> None:
    node = a_node(pk=1)
    Build.objects.create(node=node, state="BUILDING", progress=50)
    builder.build_wanted()
    assert Build.objects.get().state == "AVAILABLE"


def test_built_again_it_is_the_same_to_the_octet(sue: Caller) -> None:
    node = a_node(pk=1)
    built(sue, node)
    before = Build.objects.get().sha256
    built(sue, node)
    assert Build.objects.get().sha256 == before


def test_keys_that_vct_made_are_not_in_it(sue: Caller) -> None:
    node = a_node(pk=1)
    enrol(sue, node)
    files = unpacked(sue, built(sue, node))
    assert not firmware.SECRET_FILES & files.keys()
    assert "Not in this archive" in files["README"][1]
    assert "api.key.pem, tinc/rsa_key.priv" in files["README"][1]
    assert TincHost.objects.get(node=1).pubkey == a_pubkey(1)


def test_a_key_that_was_replaced_is_not_given_any_more(sue: Caller) -> None:
    node = a_node(pk=1)
    built(sue, node)
    TincHost.objects.get(node=1).change(pubkey=a_pubkey(3))
    files = unpacked(sue, built(sue, node))
    assert set(firmware.SECRET_FILES & files.keys()) == {"api.key.pem"}
    assert "Not in this archive" in files["README"][1]


def test_a_node_with_a_key_but_no_certificate_keeps_its_key(sue: Caller) -> None:
    node = a_node(pk=1)
    a_tinc_host(node, key=1, address="10.241.0.1")
    files = unpacked(sue, built(sue, node))
    assert set(firmware.SECRET_FILES & files.keys()) == {"api.key.pem"}
    assert TincHost.objects.get(node=1).addresses.count() == 1


def test_native_nodes_get_no_tinc(sue: Caller) -> None:
    files = unpacked(sue, built(sue, a_node(pk=1, mgmt_backend="native")))
    assert not [name for name in files if name.startswith("tinc")]


def test_damaged_kept_keys_are_made_again(sue: Caller) -> None:
    node = a_node(pk=1)
    place = keys.directory() / "1"
    place.mkdir(parents=True)
    (place / "rsa_key.priv").write_text("half")
    assert "tinc/rsa_key.priv" in unpacked(sue, built(sue, node))
    assert {path.stat().st_mode & 0o777 for path in place.iterdir()} == {0o600}


@pytest.mark.parametrize(
    "change",
    [
        lambda node: node.change(name="other"),
        lambda node: node.change(local_iface="eth7"),
        lambda _node: ServerApi.objects.all().delete(),
        lambda _node: TincHost.objects.get(server=2).change(pubkey=a_pubkey(3)),
    ],
)
def test_it_is_outdated_when_it_would_be_another(sue: Caller, change: Any) -> None:
    node = a_node(pk=1)
    built(sue, node)
    node.refresh_from_db()
    change(node)
    shown = sue.get(uri(node)).json()
    assert (shown["state"], shown["image_url"] is not None) == ("OUTDATED", True)


def test_what_does_not_concern_it_does_not_outdate_it(sue: Caller) -> None:
    node = a_node(pk=1)
    built(sue, node)
    node.refresh_from_db()
    node.change(description="new", set_state="production")
    assert sue.get(uri(node)).json()["state"] == "AVAILABLE"


def test_options_are_in_it(sue: Caller) -> None:
    gateway = a_node(pk=3)
    a_tinc_host(gateway, key=1, address="10.241.0.3")
    files = unpacked(
        sue,
        built(
            sue,
            a_node(pk=1),
            registry_base_uri="http://[fd65::7]/api/",
            tinc_default_gateway="node_3",
            sync_node_admins=True,
        ),
    )
    told = firmware.parse(files["node.json"][1])
    assert (told.registry.base_uri, told.registry.cert) == ("http://[fd65::7]/api/", "")
    assert told.agent.sync_node_admins
    assert "ConnectTo = node_3" in files["tinc/tinc.conf"][1]


@pytest.mark.parametrize(
    "options",
    [
        {"base_image_id": 99},
        {"registry_base_uri": "https://[fd65::7]/api/"},
        {"registry_base_uri": 1},
        {"sync_node_admins": "perhaps"},
    ],
)
def test_what_cannot_be_meant_is_refused(sue: Caller, options: dict[str, Any]) -> None:
    answer = sue.post(uri(a_node(pk=1)), options)
    assert (answer.status_code, list(answer.json())) == (400, list(options)[:1]) or (
        list(answer.json()) == ["registry_cert"]
    )
    assert not Build.objects.exists()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"registry_base_uri": "nonsense"}, "registry.base_uri"),
        ({"tinc_default_gateway": "node_9"}, "node_9"),
    ],
)
def test_a_build_that_fails_says_why(sue: Caller, options: dict[str, Any], why: str) -> None:
    node = a_node(pk=1)
    shown = built(sue, node, **options)
    assert shown["state"] == "FAILED"
    assert why in shown["content_message"]
    assert shown["image_url"] is None
    assert not TincHost.objects.filter(node=node).exists()
    assert built(sue, node)["state"] == "AVAILABLE"


def test_a_full_disk_is_told(sue: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    node = a_node(pk=1)
    with monkeypatch.context() as disk:
        disk.setattr("os.fsync", full)
        shown = built(sue, node)
    assert shown["state"] == "FAILED"
    assert "No space left" in shown["content_message"]
    assert built(sue, node)["state"] == "AVAILABLE"


def test_a_build_that_is_withdrawn_meanwhile_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    build = builder.request(a_node(pk=1), {})
    Build.objects.get().delete()
    with pytest.raises(ConflictError):
        build.change(progress=10)
    builder.perform(build)
    assert not Build.objects.exists()


def test_the_base_image_must_fit(sue: Caller) -> None:
    other = BaseImage.objects.create(name="i", architectures=["i686"], image="a", is_default=True)
    node = a_node(pk=1)
    assert sue.post(uri(node), {"base_image_id": other.pk}).status_code == 400
    built(sue, node)
    assert Build.objects.get().base_image is None


def test_of_nodes_that_are_gone_nothing_is_kept(sue: Caller, settings: Settings) -> None:
    gone, stays = a_node(pk=1), a_node(pk=2)
    for node in (gone, stays):
        built(sue, node)
    gone.delete()
    builder.sweep()
    private = Path(settings.CONFIG.private)
    left = {path.name for path in private.glob("keys/*")}
    assert left | {path.name for path in private.glob("firmware/build/[0-9]*")} == {"2"}


def test_a_nodes_page_asks_for_it_and_shows_it(client: Client) -> None:
    client.force_login(a_user(is_superuser=True))
    node = a_node(a_group(), pk=1)
    page = f"/admin/nodes/node/{node.pk}/change/"
    assert "never built" in client.get(page).content.decode()
    asked = {"action": "build_firmware", "_selected_action": [node.pk]}
    assert client.post("/admin/nodes/node/", asked, follow=True).status_code == 200
    builder.build_wanted()
    assert "confine-firmware-1.tar.gz</a>" in client.get(page).content.decode()
