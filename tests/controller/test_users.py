"""Users, groups, roles, keys and tokens."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.contrib.auth import authenticate
from django.core.exceptions import ValidationError
from django.db.models import ProtectedError
from django.test import Client

from tests.controller.caller import Caller
from tests.controller.factories import (
    ED25519,
    PASSWORD,
    Cast,
    a_group,
    a_node,
    a_pubkey,
    a_slice,
    a_user,
    rsa_key,
)
from tests.controller.pages import act, fill, said
from vct.controller.audit.models import Entry
from vct.controller.problems import InUseError
from vct.controller.users.authentication import user_of_token
from vct.controller.users.keys import check_auth_token
from vct.controller.users.models import (
    TOKENS_MAX,
    ApiToken,
    AuthToken,
    Role,
    User,
    issue_token,
    set_roles,
)

pytestmark = pytest.mark.django_db


def openssh(key: Any) -> str:
    """The line that ssh-keygen would write."""
    public: bytes = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return public.decode()


def in_a_token(kind: str, *parts: bytes) -> str:
    """A key as a security token's owner has it."""
    fields = [kind.encode(), *parts, b"ssh:"]
    blob = b"".join(struct.pack(">I", len(field)) + field for field in fields)
    return f"{kind} {base64.b64encode(blob).decode()} alice@laptop"


def point_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def test_it_works() -> None:
    user = a_user("Alice")
    assert user.email == "alice@localhost"
    assert authenticate(username="alice", password=PASSWORD) == user
    assert authenticate(username="alice@localhost", password=PASSWORD) == user
    assert authenticate(username="alice", password="wrong") is None
    assert authenticate(username="nobody", password=PASSWORD) is None


def test_who_is_not_active_does_not_log_in() -> None:
    user = a_user("Alice")
    token = issue_token(user)
    user.change(is_active=False)
    assert authenticate(username="alice", password=PASSWORD) is None
    assert user_of_token(token) is None


def test_logging_in_is_not_a_change(client: Client) -> None:
    user = a_user("Alice")
    client.force_login(user)
    assert User.objects.get().version == 0
    assert User.objects.get().last_login is not None


def test_a_token_is_kept_as_a_digest_only() -> None:
    user = a_user()
    token = issue_token(user)
    assert user_of_token(token) == user
    assert len(token) == 40
    assert token not in str(list(ApiToken.objects.values()))
    assert user_of_token("0" * 40) is None


def test_the_least_recently_used_token_makes_room() -> None:
    user = a_user()
    tokens = [issue_token(user) for _ in range(TOKENS_MAX + 1)]
    assert user_of_token(tokens[0]) is None
    assert user_of_token(tokens[-1]) == user
    assert user.api_tokens.count() == TOKENS_MAX


@pytest.mark.parametrize(
    "key",
    [
        ED25519,
        openssh(rsa_key()),
        *(
            openssh(ec.generate_private_key(c()))
            for c in (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
        ),
        in_a_token(
            "sk-ssh-ed25519@openssh.com",
            ed25519.Ed25519PrivateKey.generate()
            .public_key()
            .public_bytes(Encoding.Raw, PublicFormat.Raw),
        ),
        in_a_token(
            "sk-ecdsa-sha2-nistp256@openssh.com",
            b"nistp256",
            point_of(ec.generate_private_key(ec.SECP256R1())),
        ),
        a_pubkey(),
    ],
    ids=lambda key: key.split()[0],
)
def test_keys_of_all_types_of_today_are_taken(key: str) -> None:
    user = a_user()
    assert AuthToken.objects.create(user=user, data=f" {key}\n").data == key.strip()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        f'command="rm -rf /" {ED25519}',
        f"{ED25519}\n{ED25519}",
        ED25519[:40],
        ED25519.replace("ssh-ed25519", "ssh-rsa", 1),
        ED25519 + "\u00e4",
        "ssh-ed25519 " + "A" * 20_000,
        "sk-ssh-ed25519@openssh.com AAAA",
        in_a_token("sk-ssh-ed25519@openssh.com", b"short"),
        openssh(generate_private_key(65537, 1024)),
        openssh(dsa.generate_private_key(1024)),
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        f'{a_pubkey()}\ncommand="rm -rf /" {ED25519}',
        a_pubkey() + a_pubkey(),
    ],
)
def test_what_is_not_one_safe_key_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        check_auth_token(text)


@pytest.mark.parametrize(
    "fields",
    [
        {"username": "no blanks"},
        {"username": "x" * 31},
        {"email": "not an address"},
        {"name": "<invisible>\u200b"},
    ],
)
def test_a_user_is_checked(fields: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as refused:
        User.objects.create(**{"name": "Alice", "email": "a@example.org", **fields})
    assert list(refused.value.message_dict) == list(fields)


def test_two_users_need_no_user_name() -> None:
    for name in ("Alice", "Bob"):
        User.objects.create(name=name, email=f"{name}@example.org", username="")
    assert set(User.objects.values_list("username", flat=True)) == {None}


def test_a_group_keeps_an_admin() -> None:
    group, alice, bob = a_group(), a_user(), a_user()
    set_roles(group, [Role(user=alice, is_group_admin=True), Role(user=bob)])
    with pytest.raises(ValidationError) as refused:
        set_roles(group, [Role(user=bob, is_node_admin=True)])
    assert list(refused.value.message_dict) == ["user_roles"]
    assert group.roles.count() == 2


@pytest.fixture
def led() -> Cast:
    """A group with a node, administered by Alice alone."""
    cast = Cast()
    a_node(cast.group)
    return cast


@pytest.mark.parametrize("uri", ["/api/users/{}/", "/api/v0/users/{}/"])
@pytest.mark.parametrize("who", ["alice", "sue"])
def test_who_alone_administers_nodes_is_not_deleted(led: Cast, uri: str, who: str) -> None:
    answer = Caller(getattr(led, who)).delete(uri.format(led.alice.pk))
    assert answer.status_code == 409
    assert "only administrator of groups with nodes or slices: testers" in answer.json()["detail"]
    assert User.objects.filter(pk=led.alice.pk).exists()
    assert not Entry.objects.exists()


def test_pages_do_not_delete_who_alone_administers_nodes(led: Cast, client: Client) -> None:
    client.force_login(led.sue)
    path, two = "/admin/users/user/", (led.bob.pk, led.alice.pk)
    one = fill(client, f"{path}{led.alice.pk}/delete/", post="yes")
    several = act(client, path, "delete_selected", *two, post="yes")
    for answer in (one, several):
        assert "make somebody else one first" in said(answer)[0]
    assert User.objects.filter(pk__in=two).count() == 2


def test_of_two_administrators_one_may_go(led: Cast) -> None:
    Role.objects.filter(user=led.tom).update(is_group_admin=True)
    assert Caller(led.alice).delete(f"/api/users/{led.alice.pk}/").status_code == 204
    with pytest.raises(InUseError):
        led.tom.delete()


def test_who_alone_administers_slices_is_not_deleted() -> None:
    cast = Cast()
    a_slice(cast.group), a_slice(cast.group)
    with pytest.raises(InUseError) as refused:
        cast.alice.delete()
    assert refused.value.message.endswith(": testers")


def test_a_group_that_owns_nothing_keeps_nobody() -> None:
    cast = Cast()
    assert Caller(cast.alice).delete(f"/api/users/{cast.alice.pk}/").status_code == 204
    assert cast.group.roles.count() == 3


def test_a_user_is_in_a_group_once() -> None:
    group, alice = a_group(), a_user()
    with pytest.raises(ValidationError):
        set_roles(group, [Role(user=alice, is_group_admin=True), Role(user=alice)])
    assert group.roles.count() == 0


def test_a_group_with_nodes_stays() -> None:
    group = a_node().group
    with pytest.raises(ProtectedError):
        group.delete()
