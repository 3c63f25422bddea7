"""Where vct keeps things, as values: path arithmetic only, nothing is read or made here.

<home>/                      /var/lib/vct, moved by VCT_HOME
  .vct-home                  the mark: this directory is ours
  key-pool/                  tinc keys made ahead, each for one node
  images/                    image store and build cache, moved by VCT_IMAGES
  testbeds/<name>/           topology as applied, journal, keys, nodes, controller
  runs/<name>/               containers straight from an image (vct image run)
<run>/<name>/                /run/vct/<name>: lock, pid files, sockets; gone after a reboot.
                             A home elsewhere has its own: /run/vct/home_<digest>/<name>
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

DEFAULT_ROOT = Path("/var/lib/vct")
HOME_MARK = ".vct-home"
IMAGES_MARK = ".vct-images"
NAMESPACES = Path("/run/netns")
LXC_LOCKS = Path("/run/lxc/lock")


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """The state root, the image store and the run-time directory of one vct installation."""

    root: Path = DEFAULT_ROOT
    images: Path = Path("/var/lib/vct/images")
    run: Path = Path("/run/vct")

    @property
    def mark(self) -> Path:
        return self.root / HOME_MARK

    @property
    def testbeds(self) -> Path:
        return self.root / "testbeds"

    @property
    def key_pool(self) -> Path:
        """For root only: private keys that nobody has yet."""
        return self.root / "key-pool"

    def testbed(self, name: str) -> TestbedPaths:
        return TestbedPaths(name=name, root=self.testbeds / name, run=self._run / name)

    @property
    def image_runs(self) -> Path:
        """The directory that LXC's tools get as `-P`: each run of an image is a container in it."""
        return self.root / "runs"

    def image_run(self, name: str) -> ImageRunPaths:
        """No testbed's name has an underscore."""
        run = self._run / "image_runs" / name
        return ImageRunPaths(name=name, root=self.image_runs / name, run=run)

    @property
    def _run(self) -> Path:
        """Apart from other homes', which may have testbeds of the same names."""
        if self.root == DEFAULT_ROOT:
            return self.run
        return self.run / f"home_{hashlib.sha256(bytes(self.root)).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestbedPaths:
    """One testbed's files."""

    __test__ = False  # the name is the field's word, not a test of pytest's

    name: str
    root: Path
    run: Path

    @property
    def applied(self) -> Path:
        """The testbed file as last applied, and the numbers that were given out for it."""
        return self.root / "applied.json"

    @property
    def journal(self) -> Path:
        return self.root / "journal.jsonl"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def private_key(self) -> Path:
        return self.keys / "id_ed25519"

    @property
    def nodes(self) -> Path:
        """The directory that LXC's tools get as `-P`: each node is a container in it."""
        return self.root / "nodes"

    @property
    def mark(self) -> Path:
        """The mark: this directory is a testbed of ours."""
        return self.root / ".vct-testbed"

    @property
    def lock(self) -> Path:
        return self.run / "lock"

    @property
    def mounts(self) -> Path:
        """Where stopped nodes' file systems are mounted to look into."""
        return self.run / "mounts"

    @property
    def controller(self) -> ControllerPaths:
        return ControllerPaths(root=self.root / "controller")

    def node(self, node: str) -> NodePaths:
        return NodePaths(root=self.nodes / node)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerPaths:
    """What every container has: a node, the controller, a run of an image."""

    root: Path

    @property
    def config(self) -> Path:
        """LXC's configuration file."""
        return self.root / "config"

    @property
    def disk_image(self) -> Path:
        """The fixed-size file system that holds the writable layer."""
        return self.root / "disk.img"

    @property
    def disk(self) -> Path:
        """Where the disk image is mounted, in the monitor's own mount namespace only."""
        return self.root / "disk"

    @property
    def console_log(self) -> Path:
        return self.root / "console.log"

    @property
    def monitor_log(self) -> Path:
        return self.root / "lxc.log"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePaths(ContainerPaths):
    """One node's files."""

    @property
    def systems(self) -> Path:
        """Which systems are on the disk, if the node was ever updated."""
        return self.root / "systems.json"

    @property
    def node_config(self) -> Path:
        """Read-only inside the node as /etc/vct/node: keys, resolver, identity."""
        return self.root / "node"

    @property
    def confine(self) -> Confine:
        return Confine(root=self.node_config / "confine")

    @property
    def new(self) -> Path:
        """There while the controller is yet to be told that this new node goes to production."""
        return self.root / "new-node"

    @property
    def known_hosts(self) -> Path:
        """The node's host key as ssh wants it, pinned when the node was made."""
        return self.root / "known_hosts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Confine:
    """What makes a node one of CONFINE's: its firmware. In the node /etc/vct/node/confine; names
    below are those of vct.wire.firmware."""

    root: Path

    @property
    def config(self) -> Path:
        """The one readable file; written last, it says that all is there."""
        return self.root / "node.json"

    @property
    def api_key(self) -> Path:
        """The private key of the node's REST API; for root only."""
        return self.root / "api.key.pem"

    @property
    def api_cert(self) -> Path:
        return self.root / "api.crt.pem"

    @property
    def tinc(self) -> Path:
        return self.root / "tinc"

    @property
    def tinc_key(self) -> Path:
        """The private key of the node's tinc daemon; for root only."""
        return self.tinc / "rsa_key.priv"

    @property
    def tinc_public(self) -> Path:
        """Its public half, in PEM; as the original kept it."""
        return self.tinc / "rsa_key.pub"

    def tinc_host(self, name: str) -> Path:
        """What is known here of a host of the mesh, the node itself being one."""
        return self.tinc / "hosts" / name


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerPaths(ContainerPaths):
    """The controller's files. To LXC it is the container `controller` of the testbed."""

    @property
    def settings(self) -> Path:
        """Read-only inside as /etc/vct/controller."""
        return self.root / "settings"

    @property
    def settings_file(self) -> Path:
        """What the controller is told, with its secret; for root only."""
        return self.settings / "controller.json"

    @property
    def secret(self) -> Path:
        """What its signatures are made with; for root only."""
        return self.root / "secret_key"

    @property
    def credentials(self) -> Path:
        """The first administrator's name, password and token, as JSON; for root only."""
        return self.root / "credentials.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRunPaths(ContainerPaths):
    """The files of one run of an image."""

    name: str
    run: Path

    @property
    def mark(self) -> Path:
        """The mark: this directory is a run of ours."""
        return self.root / ".vct-run"

    @property
    def record(self) -> Path:
        """What was asked for; written when all the rest is there."""
        return self.root / "run.json"

    @property
    def below(self) -> Path:
        """What is seen below the image."""
        return self.root / "below"

    @property
    def lock(self) -> Path:
        return self.run / "lock"
