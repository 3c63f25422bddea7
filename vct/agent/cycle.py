"""One cycle: see, fetch, decide, apply, publish. What it needs of the last one is in the Agent.

`main` calls it in a loop. Whatever the registry, the disk or the firmware do, a cycle ends with a
tree that says what the node is and what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from vct.agent import decide as rules
from vct.agent.apply import apply, write_admins
from vct.agent.decide import Decision
from vct.agent.fetch import fetch
from vct.agent.kept import Cache, Cached, Kept, load_cache, load_kept, save_cache
from vct.agent.log import Log
from vct.agent.orders import Orders
from vct.agent.places import Places, read, write
from vct.agent.problems import Fault, Problem, RegistryError, of_system, sentence
from vct.agent.publish import Published
from vct.agent.registry import Registry
from vct.agent.seen import Seen, see
from vct.agent.shapes import Told, tree
from vct.wire import firmware
from vct.wire.firmware import NodeConfig
from vct.wire.states import NodeState

REWRITE = "write the node's firmware anew: vct init"
RETRY_FIRST_S, RETRY_MAX_S = 0.5, 300.0
RETRY_GROWTH = 1.5  # a node whose network comes up late is late by less than half as much


class _Remembered:
    """A registry that cannot be asked: what is known holds."""

    def __init__(self, registry: Registry) -> None:
        self.base, self.place = registry.base, registry.place

    def get(self, place: str, known: Cached | None = None) -> Cached:
        if known is None:
            raise RegistryError(f"{place} was never fetched", fault=Fault.UNREACHABLE)
        return known


@dataclass
class Identity:
    """A node's firmware as it was read, and what was kept for it."""

    text: str
    config: NodeConfig
    registry: Registry
    kept: Kept
    cache: Cache
    cache_kept: bool = True  # on the disk, too
    orders: Orders | None = None

    @property
    def of(self) -> str:
        return self.kept.of


class Agent:
    """Lives as long as the process.

    `boot_mark` is new in each boot of the node, `others` say what is wrong beside the cycles.
    """

    def __init__(
        self,
        places: Places,
        published: Published,
        log: Log,
        *,
        reboot: Callable[[], None],
        boot_mark: str,
        registry_of: Callable[[NodeConfig, Places], Registry] | None = None,
        others: Callable[[], tuple[Problem, ...]] = lambda: (),
    ) -> None:
        self.places, self.published, self.log = places, published, log
        self.failures = 0  # of asking the registry, one after the other
        self._reboot, self._boot_mark = reboot, boot_mark
        self._registry_of, self._others = registry_of or _registry, others
        self._identity: Identity | None = None

    @property
    def poll_s(self) -> float:
        return self._identity.config.agent.poll_s if self._identity else RETRY_FIRST_S * 4

    @property
    def pause_s(self) -> float:
        """How long to wait for the next cycle: longer with each failure, to 5 minutes."""
        if not self.failures:
            return self.poll_s
        return min(RETRY_MAX_S, RETRY_FIRST_S * RETRY_GROWTH ** min(self.failures - 1, 40))

    def cycle(self) -> None:
        """Raises nothing that comes from outside."""
        problems = list(self._others())
        identity = self._read_firmware(problems)
        if identity is None:
            self._publish(None, Seen(), Kept(state=str(NodeState.DEBUG)), problems)
            return
        seen = self._see(identity, problems)
        decision = self._decide(identity, seen)
        problems += decision.problems
        failed = apply(decision, identity.kept, self.places, self._reboot)
        identity.kept = decision.kept if not failed else identity.kept
        problems += failed
        problems += self._write_admins(identity)
        # what could not be remembered holds for now all the same: a full disk stops no node
        self._publish(identity, seen, replace(identity.kept, state=decision.state), problems)

    # --- who this is -----------------------------------------------------------------------------

    def _read_firmware(self, problems: list[Problem]) -> Identity | None:
        """Reads again what changed. None for firmware that says nothing usable."""
        path = self.places.firmware / firmware.CONFIG
        try:
            text = read(path)
            if self._identity is None or self._identity.text != text:
                config = firmware.parse(text)
                self._identity = self._take_up(text, config)
        except OSError as error:
            problems.append(of_system(error, "cannot read the firmware"))
        except ValueError as error:
            words = f"{path} cannot be meant: {error}"
            problems.append(Problem("", sentence(words, REWRITE), grave=True))
        else:
            return self._identity
        self._identity = None
        return None

    def _take_up(self, text: str, config: NodeConfig) -> Identity:
        of = f"{config.node.id} of {config.testbed.name} at {config.registry.base_uri}"
        registry = self._registry_of(config, self.places)
        kept, cache = load_kept(self.places.state, of), load_cache(self.places.cache, of)
        self.failures = 0
        self.log.write(f"this is node {of}")
        identity = Identity(text, config, registry, kept, cache)
        try:  # so that a node whose controller is away says what it said before
            identity.orders = fetch(_Remembered(registry), config.node.id, cache).orders
        except RegistryError:
            identity.orders = None
        return identity

    def _see(self, identity: Identity, problems: list[Problem]) -> Seen:
        try:
            if read(self.places.boot) != self._boot_mark:
                write(self.places.boot, self._boot_mark)
            return replace(see(self.places, identity.config.node.id), boot=self._boot_mark)
        except (OSError, ValueError) as error:
            words = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            problems.append(Problem("", sentence(f"cannot look at this node: {words}"), grave=True))
            return Seen(boot=self._boot_mark, arch=identity.config.node.arch)

    # --- what it shall be ------------------------------------------------------------------------

    def _decide(self, identity: Identity, seen: Seen) -> Decision:
        config = identity.config
        try:
            found = fetch(identity.registry, config.node.id, identity.cache)
        except RegistryError as error:
            self.failures += 1
            return rules.without_orders(identity.kept, error)
        finally:
            identity.registry.close()
        self.failures = 0
        identity.orders = found.orders
        decision = rules.decide(config, found.orders, seen, identity.kept)
        if found.cache == identity.cache and identity.cache_kept:
            return decision
        identity.cache, identity.cache_kept = found.cache, False
        try:
            save_cache(self.places.cache, identity.of, found.cache)
        except OSError as error:
            problem = of_system(error, "cannot keep what was fetched")
            return replace(decision, problems=(*decision.problems, problem))
        identity.cache_kept = True
        return decision

    def _write_admins(self, identity: Identity) -> tuple[Problem, ...]:
        """Only from orders that are this node's, as fetched now or before."""
        orders = identity.orders
        if not identity.config.agent.sync_node_admins or orders is None or orders.admins is None:
            return ()
        if identity.kept.state == NodeState.DEBUG:
            return ()
        return write_admins(self.places, orders.admins)

    # --- what it says ----------------------------------------------------------------------------

    def _publish(
        self, identity: Identity | None, seen: Seen, kept: Kept, problems: list[Problem]
    ) -> None:
        config, orders = (identity.config, identity.orders) if identity else (None, None)
        message = NodeState(kept.state).sentence
        if problems:
            message = f"{message} {problems[0].message}"
        if self.failures:
            message = f"{message} It tries again in at most {self.pause_s:g} s."
        told = Told(config, orders, seen, kept, tuple(problems), message)
        self.published.replace(tree(told))
        lines = [f"state {kept.state}", *(f"{one.member} {one.message}" for one in problems)]
        self.log.write_changes(tuple(lines))


def _registry(config: NodeConfig, places: Places) -> Registry:
    return Registry(config.registry, places.firmware)


def boot_mark(places: Places, fresh: Callable[[], str]) -> str:
    """What this boot is called: the same for all agents in it, as `run` is gone with it.

    Where it cannot be written each agent has its own, and a reboot that was not done is not done
    again.
    """
    try:
        there = read(places.boot).strip()
        if not there:
            there = fresh()
            write(places.boot, there)
    except (OSError, ValueError):
        return fresh()
    return there
