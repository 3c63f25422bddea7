"""Keys of nodes: private for root only, made once, taken from a pool one node each."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from vct.drivers import key_making, node_keys
from vct.drivers.node_keys import Wish, ensure_keys, fill, forget_keys, pooled, take
from vct.errors import VctError
from vct.paths import Confine, Home
from vct.wire import firmware
from vct.wire.tinc import canonical_key

ADDRESS = "fd65:fc41:c50f:1::2"
PAIR = key_making.tinc_key()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """All RSA keys are the same one: it takes long to make."""
    monkeypatch.setattr(key_making, "tinc_key", lambda: PAIR)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(root=tmp_path)


def wish(home: Home, node: str = "0001", *, tinc: bool = True) -> Wish:
    paths = home.testbed("ring").node(node)
    paths.node_config.mkdir(parents=True, exist_ok=True)
    return Wish(files=paths.confine, address=ADDRESS, tinc=tinc)


def test_it_works(home: Home) -> None:
    one = wish(home)
    (public,) = ensure_keys([one], home.key_pool)
    assert public.tinc is not None
    assert canonical_key(public.tinc) == public.tinc == PAIR[1]
    request = x509.load_pem_x509_csr(public.request.encode())
    assert request.is_signature_valid
    assert request.subject.rfc4514_string() == f"CN={ADDRESS}"
    for file in (one.files.api_key, one.files.tinc_key):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_is_there_is_kept(home: Home) -> None:
    one = wish(home)
    ensure_keys([one], home.key_pool)
    before = one.files.api_key.read_text()
    made: list[int] = []
    ensure_keys([one], home.key_pool, made.append)
    assert one.files.api_key.read_text() == before
    assert made == []


def test_forgotten_keys_are_made_anew(home: Home) -> None:
    one = wish(home)
    ensure_keys([one], home.key_pool)
    before = one.files.api_key.read_text()
    forget_keys(one.files)
    ensure_keys([one], home.key_pool)
    assert one.files.api_key.read_text() != before


def test_a_native_node_has_no_tinc_key(home: Home) -> None:
    one = wish(home, tinc=False)
    assert ensure_keys([one], home.key_pool)[0].tinc is None
    assert not one.files.tinc.exists()


def test_a_key_of_the_pool_is_one_nodes_only(home: Home) -> None:
    made: list[int] = []
    assert fill(home.key_pool, 2, made.append) == 2
    assert sorted(made) == [1, 2]
    assert stat.S_IMODE(home.key_pool.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in pooled(home.key_pool))
    assert fill(home.key_pool, 2) == 0
    made = []
    wishes = [wish(home, f"000{n}") for n in (1, 2, 3)]
    ensure_keys(wishes, home.key_pool, made.append)
    assert made == [1]  # the third
    assert pooled(home.key_pool) == list(home.key_pool.iterdir()) == []


def test_who_is_later_gets_another_key(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(home.key_pool, 1)
    gone = home.key_pool / "0.pem"
    here = pooled(home.key_pool)
    monkeypatch.setattr(node_keys, "pooled", lambda _pool: [gone, *here])
    one = wish(home)
    one.files.tinc.mkdir(parents=True)
    assert take(home.key_pool, one.files)
    assert not take(home.key_pool, one.files)


def test_a_lost_public_half_is_made_again(home: Home) -> None:
    one = wish(home)
    ensure_keys([one], home.key_pool)
    one.files.tinc_public.unlink()
    assert ensure_keys([one], home.key_pool)[0].tinc == PAIR[1]


@pytest.mark.parametrize("text", ["", "words", PAIR[0][:400], PAIR[0]])
def test_a_damaged_key_says_how_to_make_another(home: Home, text: str) -> None:
    one = wish(home)
    ensure_keys([one], home.key_pool)
    one.files.api_key.write_text(text)
    with pytest.raises(VctError, match="damaged") as caught:
        ensure_keys([one], home.key_pool)
    assert caught.value.hint.endswith("vct node create 0001 --renew-keys")


def test_the_keys_are_of_the_kinds_that_they_should_be() -> None:
    key = load_pem_private_key(key_making.api_key().encode(), password=None)
    assert getattr(key, "curve").name == "secp256r1"  # noqa: B009 - of an EC key
    assert PAIR[0].startswith("-----BEGIN RSA PRIVATE KEY-----")
    with pytest.raises(ValueError, match="no RSA key"):
        key_making.public_half(key_making.api_key())


def test_files_are_where_the_firmware_says() -> None:
    files = Confine(root=Path("/n"))
    assert files.config == files.root / firmware.CONFIG
    assert files.api_key == files.root / firmware.API_KEY
    assert files.api_cert == files.root / firmware.API_CERT
    assert files.tinc_key == files.root / firmware.TINC_KEY
    assert files.tinc_host("server") == files.root / firmware.TINC_HOSTS / "server"
