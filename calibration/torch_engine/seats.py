"""Where ranks start: on this machine, or each inside a host of an emulated network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from calibration.emulation.entering import Entrance

if TYPE_CHECKING:
    from calibration.emulation.network import EmulatedNetwork

_NOTHING: Mapping[str, str] = MappingProxyType({})
_ALWAYS = {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}


class Seat(NamedTuple):
    """The place of one rank.

    Fields:
        host: what messages call it.
        entrance: namespaces that the rank enters; None for this machine as it is.
        interface: over which it talks to other ranks.
        environment: further variables.
    """

    host: str = "localhost"
    entrance: Entrance | None = None
    interface: str = "lo"
    environment: Mapping[str, str] = _NOTHING

    def variables(self) -> dict[str, str]:
        """Return the environment of the rank."""
        device = {f"{name}_SOCKET_IFNAME": self.interface for name in ("GLOO", "NCCL")}
        return {**_ALWAYS, **device, **self.environment}


def seats(world_size: int) -> tuple[Seat, ...]:
    """Return the places of ranks that all run on this machine."""
    return (Seat(),) * world_size


def host_seats(count: int) -> tuple[Seat, ...]:
    """Return the places of nodes' hosts that add gradients, all on this machine.

    Args:
        count: of the nodes whose hosts do, the first ones [1].
    """
    return tuple(Seat(f"host of node {node}") for node in range(count))


def in_hosts(network: EmulatedNetwork, hosts: Sequence[int]) -> tuple[Seat, ...]:
    """Return the places of ranks inside hosts of an emulated network.

    Args:
        network: that is built.
        hosts: of the ranks, in their order; a host may have several.
    """
    return tuple(
        Seat(f"host {host}", network.entrance(host), network.interface(host))
        for host in hosts
    )
