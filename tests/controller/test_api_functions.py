"""What v1 does beside writing objects: orders, state, certificates, uploads, downloads."""

from __future__ import annotations

import base64
import hashlib
import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from pytest_django import Settings

from tests.controller.caller import Caller
from tests.controller.factories import (
    PASSWORD,
    SHA256,
    Cast,
    a_host,
    a_node,
    a_pubkey,
    a_slice,
    a_sliver,
    a_template,
    a_user,
    rsa_key,
)
from vct.controller import config
from vct.controller.audit.models import Entry
from vct.controller.firmware.models import Build
from vct.controller.mgmt.models import mgmt_address
from vct.controller.nodes.models import Node
from vct.controller.pki.authority import make_authority
from vct.controller.state.models import record, status_of

pytestmark = pytest.mark.django_db
CONTENT = bytes(range(256)) * 8
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def sue() -> Caller:
    return Caller(a_user("Sue", is_superuser=True))


def archive(name: str = "data.tgz", content: bytes = CONTENT) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def test_it_works(sue: Caller) -> None:
    node = a_node()
    answer = sue.post(f"/api/nodes/{node.pk}/ctl/reboot/")
    assert answer.status_code == 200
    assert answer.json()["detail"]
    assert sue.get(f"/api/nodes/{node.pk}/").json()["boot_sn"] == 1
    assert Entry.objects.get().action == "reboot"


@pytest.mark.parametrize(
    ("body", "status"), [(None, 200), (b"null", 200), ({}, 200), ({"a": 1}, 400)]
)
def test_orders_take_no_data(sue: Caller, body: Any, status: int) -> None:
    node = a_node()
    assert sue.post(f"/api/nodes/{node.pk}/ctl/reboot/", body).status_code == status
    assert Node.objects.get().boot_sn == (status == 200)


def test_a_function_is_posted(sue: Caller) -> None:
    assert sue.get(f"/api/nodes/{a_node().pk}/ctl/reboot/").status_code == 405


def test_a_slice_is_renewed_and_reset(sue: Caller) -> None:
    one = a_slice(expires_on=timezone.now().date() + timedelta(days=1))
    uri = f"/api/slices/{one.pk}/"
    assert sue.post(f"{uri}ctl/renew/").status_code == 200
    assert sue.post(f"{uri}ctl/reset/").status_code == 202
    shown = sue.get(uri).json()
    assert shown["instance_sn"] == 1
    assert shown["expires_on"] == (timezone.now().date() + timedelta(days=30)).isoformat()


def test_a_sliver_is_made_anew(sue: Caller) -> None:
    sliver = a_sliver()
    assert sue.post(f"/api/slivers/{sliver.pk}/ctl/update/").status_code == 202
    assert sue.get(f"/api/slivers/{sliver.pk}/").json()["instance_sn"] == 1
    defaults = sue.get(f"/api/slices/{sliver.slice_id}/").json()["sliver_defaults"]
    assert defaults["instance_sn"] == 1


def a_request(common_name: str) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    built = x509.CertificateSigningRequestBuilder().subject_name(name)
    return built.sign(rsa_key(), hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def test_a_node_gets_a_certificate(tmp_path: Path, settings: Settings) -> None:
    settings.CONFIG = config.generated(tmp_path)
    make_authority("fd65:fc41:c50f::2", "VCT")
    node = a_node()
    caller = Caller(REMOTE_ADDR=str(mgmt_address(node)))
    uri = f"/api/nodes/{node.pk}/ctl/request-cert/"
    answer = caller.post(uri, a_request(str(mgmt_address(node))))
    assert answer.status_code == 202
    assert x509.load_pem_x509_certificate(answer.json()["cert"].encode())
    assert caller.get(f"/api/nodes/{node.pk}/").json()["cert"] is None
    for bad in (a_request("::1"), "nonsense", {"a": 1}, None):
        answer = caller.post(uri, bad)
        assert (answer.status_code, list(answer.json())) == (400, ["detail"])


def test_without_an_authority_there_is_no_certificate(sue: Caller) -> None:
    node = a_node()
    csr = a_request(str(mgmt_address(node)))
    assert sue.post(f"/api/nodes/{node.pk}/ctl/request-cert/", csr).status_code == 503


def test_state_is_shown(sue: Caller) -> None:
    sliver = a_sliver()
    uri = f"/api/slivers/{sliver.pk}/ctl/state/"
    assert Caller().get(uri).json() == {
        "url": "",
        "current": "nodata",
        "last_change_on": None,
        "last_seen_on": None,
        "last_try_on": None,
        "verified": False,
        "metadata": "",
        "data": "",
    }
    answer = {"state": "started"}
    record(sliver, "started", data=answer, metadata={"url": "http://[::1]/"}, verified=True)
    shown = Caller().get(uri).json()
    assert (shown["current"], shown["data"], shown["url"]) == ("started", answer, "http://[::1]/")
    assert shown["last_try_on"].endswith("Z")
    assert sue.post(uri).json()["current"] == "started"


def test_a_node_that_fetches_itself_lives() -> None:
    sliver = a_sliver()
    node, other = sliver.node, a_node()
    caller = Caller(REMOTE_ADDR=str(mgmt_address(node)))
    caller.get(f"/api/nodes/{other.pk}/")
    Caller().get(f"/api/nodes/{node.pk}/")
    assert status_of(node).seen_on is None
    caller.get(f"/api/nodes/{node.pk}/")
    assert status_of(node).seen_on is not None
    assert status_of(other).seen_on is None
    assert status_of(sliver).seen_on is None
    caller.get(f"/api/slivers/{sliver.pk}/")
    assert status_of(sliver).seen_on is not None


def test_how_somebody_logs_in_is_changed(sue: Caller) -> None:
    mia = a_user("Mia")
    uri = f"/api/users/{mia.pk}/ctl/change-auth/"
    sent = {"password": "another long one", "username": "m", "email": "mia@mia.example"}
    assert sue.post(uri, sent).status_code == 200
    mia.refresh_from_db()
    assert mia.check_password("another long one")
    assert (mia.username, mia.email) == ("m", "mia@mia.example")
    entry = Entry.objects.get()
    assert "another" not in str(entry.changes)
    for bad in ({}, {"password": "short"}, {"password": "password1234"}, {**sent, "email": "x"}):
        assert sue.post(uri, bad).status_code == 400


def test_firmware_is_told_and_removed(
    sue: Caller, tmp_path: Path, settings: Settings, django_capture_on_commit_callbacks: Any
) -> None:
    settings.CONFIG = config.generated(tmp_path)
    node = a_node()
    uri = f"/api/nodes/{node.pk}/ctl/firmware/"
    assert sue.get(uri).status_code == 404
    assert sue.post(uri, {"base_image_id": "x"}).status_code == 400
    (tmp_path / "private").mkdir()
    file = tmp_path / "private" / "confine firmware-1.img.gz"
    file.write_bytes(CONTENT)
    build = Build.objects.create(node=node, state="BUILDING", progress=40)
    shown = sue.get(uri).json()
    assert (shown["progress"], shown["next"], shown["image_url"]) == (40, "AVAILABLE", None)
    assert sue.post(uri).status_code == 429
    build.change(state="AVAILABLE", path=file.name, sha256=DIGEST)
    path = f"/private/firmware/build/image/{node.pk}/confine%20firmware-1.img.gz"
    assert sue.get(uri).json()["image_url"] == path
    with django_capture_on_commit_callbacks(execute=True):
        assert sue.delete(uri).status_code == 204
    assert not file.exists()
    assert sue.delete(uri).status_code == 404


def test_who_may_download_firmware(tmp_path: Path, settings: Settings) -> None:
    settings.CONFIG = config.generated(tmp_path)
    cast = Cast()
    node = a_node(cast.group)
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "a.gz").write_bytes(CONTENT)
    Build.objects.create(node=node, state="AVAILABLE", path="a.gz", sha256=DIGEST)
    uri = f"/private/firmware/build/image/{node.pk}/a.gz"
    statuses = {name: Caller(user).get(uri).status_code for name, user in cast.everybody.items()}
    allowed = {"superuser", "group admin", "node admin"}
    assert statuses == {name: 200 if name in allowed else 403 for name in statuses}
    assert Caller().get(uri).status_code == 403
    assert Caller(cast.sue).get(uri.replace("a.gz", "b.gz")).status_code == 404
    with_password = Caller().get(uri, authorization=basic("tom", PASSWORD))
    assert b"".join(with_password.streaming_content) == CONTENT
    assert Caller().get(uri, authorization=basic("tom", "wrong")).status_code == 403
    assert Caller().get(uri, authorization=basic("t\0m", "wrong")).status_code == 403


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.mark.parametrize("kind", ["slices", "slivers", "templates"])
def test_an_upload_is_digested_and_served(sue: Caller, kind: str) -> None:
    makers: dict[str, Any] = {"slices": a_slice, "slivers": a_sliver, "templates": a_template}
    one = makers[kind]()
    uri = f"/api/{kind}/{one.pk}/"
    function = "upload-image" if kind == "templates" else "upload-data"
    answer = sue.upload(f"{uri}ctl/{function}/", archive("my data, 2.tgz"))
    assert answer.status_code == 200
    shown = sue.get(uri).json()
    archived = shown["sliver_defaults"] if kind == "slices" else shown
    name = "image" if kind == "templates" else "data"
    assert archived[f"{name}_sha256"] == DIGEST
    served = Caller().get(archived[f"{name}_uri"])
    assert "," not in archived[f"{name}_uri"]
    assert b"".join(served.streaming_content) == CONTENT
    assert served.headers["ETag"] == f'"{DIGEST}"'
    assert served.headers["Content-Disposition"].startswith("attachment")
    assert "Content-Encoding" not in served.headers


def test_the_own_uri_of_a_file_keeps_it(sue: Caller) -> None:
    uri = f"/api/templates/{a_template().pk}/"
    sue.upload(f"{uri}ctl/upload-image/", archive())
    shown = sue.get(uri).json()
    assert sue.put(uri, shown).json() == shown
    assert sue.patch(uri, {"image_sha256": SHA256}).status_code == 400
    other = {"image_uri": "http://t.example/t.tgz", "image_sha256": SHA256}
    assert sue.patch(uri, other).json()["image_uri"] == other["image_uri"]
    sue.upload(f"{uri}ctl/upload-image/", archive())
    assert sue.patch(uri, {"image_uri": None}).json()["image_sha256"] is None


@pytest.mark.parametrize(("number", "status"), [(0, 400), (1, 200), (2, 400)])
def test_exactly_one_file_is_sent(sue: Caller, number: int, status: int) -> None:
    uri = f"/api/slices/{a_slice().pk}/ctl/upload-data/"
    files = [archive(f"{n}.tgz") for n in range(number)]
    assert sue.upload(uri, *files).status_code == status


@pytest.mark.parametrize(
    "body", [b"", b"garbage", b"--x\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\nc"]
)
def test_a_body_that_is_no_form_is_refused(sue: Caller, body: bytes) -> None:
    uri = f"/api/slices/{a_slice().pk}/ctl/upload-data/"
    for content_type in ("multipart/form-data; boundary=x", "multipart/form-data"):
        answer = sue.client.post(uri, body, content_type=content_type)
        assert answer.status_code in (200, 400)
        assert isinstance(answer.json(), dict)
    assert sue.post(uri, {}).status_code == 415


def test_a_file_that_is_too_large_is_refused(
    sue: Caller, tmp_path: Path, settings: Settings
) -> None:
    settings.CONFIG = config.generated(tmp_path, upload_limit_mib=0)
    uri = f"/api/slices/{a_slice().pk}/ctl/upload-data/"
    for size in (1, 100_000):
        answer = sue.upload(uri, archive(content=b"x" * size))
        assert answer.status_code == 413
    assert not [path for path in Path(settings.MEDIA_ROOT).rglob("*") if path.is_file()]


def test_what_says_it_is_too_large_is_not_read() -> None:
    for kind, length in (
        ("multipart/form-data; boundary=x", 1 << 40),
        ("application/json", 1 << 30),
    ):
        answer = Caller().client.generic(
            "POST", "/api/islands/", b"{}", content_type=kind, CONTENT_LENGTH=str(length)
        )
        assert answer.status_code == 413


def test_a_full_disk_is_507(sue: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vct.controller.files.store.os.fsync", full)
    answer = sue.upload(f"/api/slices/{a_slice().pk}/ctl/upload-data/", archive())
    assert answer.status_code == 507
    assert not [path for path in Path(settings.MEDIA_ROOT).rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("asked", "status", "got"),
    [
        ("bytes=0-0", 206, CONTENT[:1]),
        ("bytes=10-19", 206, CONTENT[10:20]),
        ("bytes=2000-", 206, CONTENT[2000:]),
        ("bytes=-5", 206, CONTENT[-5:]),
        ("bytes=-99999", 206, CONTENT),
        ("bytes=2000-99999", 206, CONTENT[2000:]),
        ("bytes=99999-", 416, b""),
        ("bytes=-", 200, CONTENT),
        ("lines=1-2", 200, CONTENT),
        ("bytes=0-1,4-5", 200, CONTENT),
    ],
)
def test_parts_of_files_are_served(sue: Caller, asked: str, status: int, got: bytes) -> None:
    uri = f"/api/templates/{a_template().pk}/"
    sue.upload(f"{uri}ctl/upload-image/", archive())
    file = sue.get(uri).json()["image_uri"]
    answer = Caller().get(file, range=asked)
    assert answer.status_code == status
    assert (b"".join(answer.streaming_content) if answer.streaming else answer.content) == got
    if status == 206:
        assert answer.headers["Content-Length"] == str(len(got))
    changed = Caller().get(file, range="bytes=0-0", if_range='"other"')
    assert changed.status_code == 200
    assert Caller().get(file, if_none_match=f'"{DIGEST}"').status_code == 304


@pytest.mark.parametrize(
    "path", ["x", "templates/../../controller.sqlite3", "%00", "templates/", ".parts/x"]
)
def test_only_uploads_are_served(path: str) -> None:
    assert Caller().get(f"/media/{path}").status_code == 404


def test_a_host_uploads_its_key() -> None:
    mia = a_user("Mia")
    host = a_host(mia)
    uri = f"/api/hosts/{host.pk}/"
    caller = Caller(mia)
    assert caller.upload(f"{uri}ctl/upload-pubkey/", io.BytesIO(b"nonsense")).status_code == 400
    assert caller.upload(f"{uri}ctl/upload-pubkey/", io.BytesIO(b"\xff\0" * 9)).status_code == 400
    sent = io.BytesIO(a_pubkey().encode())
    assert caller.upload(f"{uri}ctl/upload-pubkey/", sent).status_code == 200
    assert caller.get(uri).json()["tinc"]["pubkey"] == a_pubkey()


def test_containers_are_the_hosts(sue: Caller) -> None:
    node = a_node(pk=0x0A12)
    uri = f"/api/nodes/{node.pk}/ctl/vm/"
    assert sue.get(uri).status_code == 404
    assert "vct node start 0a12" in sue.put(uri, {"start": True}).json()["detail"]
    assert "vct node stop 0a12" in sue.patch(uri, {"stop": True}).json()["detail"]
    assert "vct node create 0a12" in sue.post(uri).json()["detail"]
    assert "vct node remove 0a12" in sue.delete(uri).json()["detail"]
