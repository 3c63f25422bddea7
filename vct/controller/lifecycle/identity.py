"""Who this controller is: the main server's row, its authority, its TLS and tinc keys.

Made at the first start, and brought up to date at each other one when the settings say something
else; nothing is written when all is as it should be. Called by `prepare`.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from django.conf import settings
from django.db import transaction

from vct.controller.config import Config
from vct.controller.mgmt import writer
from vct.controller.mgmt.keys import fingerprint
from vct.controller.mgmt.models import TincAddress, TincHost, mgmt_address
from vct.controller.nodes.models import MAIN_SERVER, ApiType, Server, ServerApi
from vct.controller.pki import authority
from vct.wire.limits import TINC_PORT, MgmtBackend

KEY_BITS, EXPONENT = 2048, 65537  # as tincd makes them
TINC_KEY = "tinc.key"  # below the directory of keys


def make_keys() -> None:
    """What takes long and needs no database."""
    if settings.CONFIG.mgmt_backend == MgmtBackend.TINC:
        tinc_pubkey(settings.CONFIG.pki)


def ensure() -> None:
    """The main server is known, has its keys, and the mesh's files are there."""
    told = settings.CONFIG
    server = Server.objects.filter(pk=MAIN_SERVER).first()
    with transaction.atomic():
        if server is None and not Server.objects.exists():
            server = Server(name=told.testbed, mgmt_backend=told.mgmt_backend)
            server.save()
    if server is None:
        return  # somebody deleted it, and has others
    address = str(mgmt_address(server))
    authority.make_authority(address, told.testbed)
    authority.make_server_certificate(address, (address, *told.hosts))
    pubkey = tinc_pubkey(told.pki) if told.mgmt_backend == MgmtBackend.TINC else ""
    with transaction.atomic():
        if server.mgmt_backend != told.mgmt_backend:
            server.change(mgmt_backend=told.mgmt_backend)
        _ensure_apis(server, told)
        if pubkey:
            _ensure_tinc(server, pubkey, told.tinc_address)
    writer.refresh()
    writer.tell()  # that there is a certificate, too


def tinc_pubkey(directory: Path) -> str:
    """The public half of the server's tinc key, which is made unless it is there; PEM."""
    path = directory / TINC_KEY
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError):
        key = generate_private_key(EXPONENT, KEY_BITS)
        authority.write_file(path, authority.private_pem(key), 0o600)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return public.decode()


def _ensure_apis(server: Server, told: Config) -> None:
    """Its two APIs at its management address; others, and those of other servers, are people's."""
    scheme, cert = ("https", authority.authority_certificate()) if told.tls else ("http", "")
    host = f"[{mgmt_address(server)}]"
    ours = {f"{word}://{host}/api/" for word in ("http", "https")}
    for kind in ApiType:
        values = {"base_uri": f"{scheme}://{host}/api/", "cert": cert}
        known = ServerApi.objects.filter(server=server, type=kind)
        if not known:
            ServerApi.objects.create(server=server, type=kind, **values)
        for api in known.filter(base_uri__in=ours):
            if (api.base_uri, api.cert) != (values["base_uri"], values["cert"]):
                api.base_uri, api.cert = values["base_uri"], values["cert"]
                api.save()


def _ensure_tinc(server: Server, pubkey: str, address: str) -> None:
    tinc = TincHost.objects.filter(server=server).first()
    if tinc is None:
        tinc = TincHost.objects.create(server=server, pubkey=pubkey)
    elif tinc.fingerprint != fingerprint(pubkey):
        tinc.change(pubkey=pubkey)
    if address and not tinc.addresses.filter(addr=address, port=TINC_PORT).exists():
        TincAddress.objects.create(host=tinc, addr=address)
