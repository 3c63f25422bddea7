"""Files of a testbed: its ssh key pair, and each node's directory with host key and disk image.

Everything is made under a temporary name and renamed when it is whole.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from vct import names
from vct.drivers.disk_image import MIB, make_disk, resize_disk
from vct.drivers.textfiles import write
from vct.paths import NodePaths, TestbedPaths
from vct.plan.things import Keys, NodeFiles


class KeysDriver:
    """Makes the testbed's ssh key pair."""

    kind = Keys
    workers = 1

    def __init__(self, paths: TestbedPaths) -> None:
        self._paths = paths

    def observe(self) -> list[Keys]:
        return [Keys(testbed=self._paths.name)] if self._paths.private_key.exists() else []

    def claim(self, thing: Keys) -> None:
        pass  # inside the testbed's directory, which carries our mark

    def create(self, thing: Keys) -> None:
        self._paths.keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_key(self._paths.private_key, f"vct {thing.testbed}")

    def change(self, was: Keys, thing: Keys) -> None:
        raise AssertionError("a key pair has nothing that could change")

    def delete(self, thing: Keys) -> None:
        if self._paths.keys.exists():
            shutil.rmtree(self._paths.keys)


class NodeFilesDriver:
    """Makes nodes' directories."""

    kind = NodeFiles
    workers = 1  # all of it is Python's own work, 1 ms for a node

    def __init__(self, paths: TestbedPaths) -> None:
        self._paths = paths

    def observe(self) -> list[NodeFiles]:
        found = []
        for node in node_directories(self._paths):
            image = self._paths.node(node).disk_image
            size = image.stat().st_size // MIB if image.exists() else 0
            found.append(NodeFiles(node=node, disk_mib=size))
        return found

    def claim(self, thing: NodeFiles) -> None:
        pass  # inside the testbed's directory, which carries our mark

    def create(self, thing: NodeFiles) -> None:
        """Make what is missing; the disk image comes last and says that all is there."""
        paths = self._paths.node(thing.node)
        for directory in (paths.root, paths.disk, paths.node_config):
            directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        host_key = paths.node_config / "ssh_host_ed25519_key"
        if not host_key.exists():
            make_key(host_key, names.hostname(thing.node))
        self._write_identity(paths, thing.node)
        make_disk(paths.disk_image, thing.disk_mib)

    def change(self, was: NodeFiles, thing: NodeFiles) -> None:
        """Resize the disk; one that was never finished is made anew."""
        if was.disk_mib == 0:
            self.create(thing)
        else:
            resize_disk(self._paths.node(thing.node).disk_image, thing.disk_mib)

    def delete(self, thing: NodeFiles) -> None:
        root = self._paths.node(thing.node).root
        if root.exists():
            shutil.rmtree(root)

    def _write_identity(self, paths: NodePaths, node: str) -> None:
        """The files that the node sees read-only in /etc/vct/node; the image links to them."""
        public = self._paths.private_key.with_suffix(".pub").read_text()
        host_key = (paths.node_config / "ssh_host_ed25519_key.pub").read_text()
        hostname = names.hostname(node)
        write(paths.node_config / "authorized_keys", public, mode=0o600)
        write(paths.node_config / "resolv.conf", render_resolver())
        write(paths.node_config / "hosts", render_hosts(hostname))
        write(paths.known_hosts, f"{hostname} {' '.join(host_key.split()[:2])}\n")


def node_directories(paths: TestbedPaths) -> list[str]:
    """Ids of the nodes that have a directory, sorted."""
    try:
        entries = sorted(path.name for path in paths.nodes.iterdir())
    except FileNotFoundError:
        return []
    return [name for name in entries if names.NODE_ID.fullmatch(name)]


def render_resolver() -> str:
    """A node's resolv.conf: the testbed's own name server."""
    return f"search {names.DOMAIN}\nnameserver {names.LOCAL_GATEWAY}\noptions timeout:1\n"


def render_hosts(hostname: str) -> str:
    """A node's /etc/hosts: itself; the name server knows the others."""
    return (
        f"127.0.0.1 localhost\n127.0.1.1 {hostname}.{names.DOMAIN} {hostname}\n"
        "::1 localhost ip6-localhost ip6-loopback\n"
    )


def make_key(path: Path, comment: str) -> None:
    """An ed25519 key pair at `path` (OpenSSH's format, for root only) and `path`.pub."""
    from cryptography.hazmat.primitives import serialization as formats  # only here: 30 ms
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        formats.Encoding.PEM, formats.PrivateFormat.OpenSSH, formats.NoEncryption()
    )
    public = key.public_key().public_bytes(formats.Encoding.OpenSSH, formats.PublicFormat.OpenSSH)
    write(Path(f"{path}.pub"), f"{public.decode()} {comment}\n")
    write(path, private.decode(), mode=0o600)
