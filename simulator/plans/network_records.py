"""The tables of a plan that describe the machine: nodes, and what joins them.

A family's parameters stand in `[cluster.network]` beside its name; which of them it
takes, and what follows from the nodes where one is left out, is in `shapes`.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from simulator.plans.fields import MAX_DEVICES, Quantity
from simulator.plans.network_fields import (
    AdaptersOn,
    Cable,
    Ends,
    Multipath,
    NodeTopology,
    Routing,
    Topology,
)
from simulator.plans.section import Degree, Section

_MAX_LISTED = 65_536
_Ratio = Annotated[float, Field(gt=0, le=1)]
_Oversubscription = Annotated[float, Field(gt=0, le=MAX_DEVICES)]


class DegradedSection(Section):
    """A cable that gives less than it should, both ways."""

    link: Annotated[Cable, Ends()] = Field(
        description="Its two ends, by label or number.",
        examples=[["host 3", "host 4"]],
    )
    factor: _Ratio = Field(
        description="Of its bandwidth that is left, up to 1.", examples=[0.5]
    )


class NetworkSection(Section):
    """What joins the nodes."""

    topology: Topology = Field(
        default="switch",
        description="A family of graphs (`simulate list topologies`); `switch` is a"
        " non-blocking switch on which nothing is shared.",
    )
    link: str = Field(
        description="Link of one adapter (`simulate list links`).",
        examples=["infiniband-hdr"],
        json_schema_extra={"catalogue": "links"},
    )
    adapters_per_node: Degree = Field(
        default=1, description="Network adapters of a node."
    )
    bandwidth: Annotated[float | None, Quantity("B/s")] = Field(
        default=None,
        description="Of one adapter and direction; replaces the link's own.",
    )
    latency: Annotated[float | None, Quantity("s", is_positive=False)] = Field(
        default=None, description="Of an empty message; replaces the link's own."
    )
    hop_latency: Annotated[float, Quantity("s", is_positive=False)] = Field(
        default=0.0,
        description="What each link on the way adds to a message's latency.",
        json_schema_extra={"default": "0 s"},
    )
    routing: Routing | None = Field(
        default=None,
        description="Which paths are taken; left out, what such hardware does:"
        " dimension-order on grids, up-down on tiers, else shortest.",
    )
    multipath: Multipath = Field(
        default="split",
        description="How equal paths are used: split evenly, one by a hash of the"
        " pair (ECMP), or one.",
    )
    shape: Annotated[tuple[Degree, ...], Field(strict=False)] | None = Field(
        default=None,
        min_length=1,
        max_length=20,
        description="Nodes along each dimension (torus, mesh).",
        examples=[[4, 4]],
    )
    dimension: Degree | None = Field(
        default=None, description="Dimensions of a hypercube."
    )
    k: Degree | None = Field(
        default=None, description="Ports of a switch, even (fat-tree)."
    )
    leaves: Degree | None = Field(
        default=None, description="Switches with nodes (leaf-spine)."
    )
    hosts_per_leaf: Degree | None = Field(
        default=None, description="Nodes on each leaf (leaf-spine, clos)."
    )
    spines: Annotated[int, Field(ge=0, le=MAX_DEVICES)] | None = Field(
        default=None, description="Switches above the leaves (leaf-spine, rails)."
    )
    pods: Degree | None = Field(
        default=None, description="Groups of leaves and spines (clos)."
    )
    leaves_per_pod: Degree | None = Field(
        default=None, description="Switches with nodes in a pod (clos)."
    )
    spines_per_pod: Degree | None = Field(
        default=None, description="Switches above the leaves of a pod (clos)."
    )
    cores_per_spine: Degree | None = Field(
        default=None, description="Cores above each spine, shared by pods (clos)."
    )
    oversubscription: _Oversubscription | None = Field(
        default=None,
        description="Downlink ÷ uplink of a leaf (leaf-spine, clos, rails).",
    )
    core_oversubscription: _Oversubscription | None = Field(
        default=None, description="Downlink ÷ uplink of a spine (clos)."
    )
    groups: Degree | None = Field(
        default=None, description="Of servers, each with a leaf a rail (rails)."
    )
    a: Degree | None = Field(
        default=None, description="Routers in a group (dragonfly)."
    )
    h: Degree | None = Field(
        default=None, description="Global ports of a router (dragonfly)."
    )
    p: Degree | None = Field(default=None, description="Nodes on a router (dragonfly).")
    g: Degree | None = Field(default=None, description="Groups (dragonfly).")
    probability: _Ratio | None = Field(
        default=None, description="That two nodes are joined (random)."
    )
    degree: Degree | None = Field(
        default=None, description="Cables of each node (random, random-regular)."
    )
    seed: Annotated[int, Field(ge=0, le=MAX_DEVICES)] | None = Field(
        default=None, description="Of the sample (random, random-regular)."
    )
    file: str | None = Field(
        default=None,
        description="Graph in a .json (NetworkX node-link) or .graphml file, relative"
        " to the plan's folder (file). A node may say kind, host or switch; an edge,"
        " bandwidth and latency, as text with a unit.",
    )
    failed: Annotated[tuple[Annotated[Cable, Ends()], ...], Field(strict=False)] = (
        Field(
            default=(),
            max_length=_MAX_LISTED,
            description="Cables that carry nothing, each by its two ends.",
            examples=[[["host 3", "host 4"]]],
        )
    )
    degraded: Annotated[tuple[DegradedSection, ...], Field(strict=False)] = Field(
        default=(),
        max_length=_MAX_LISTED,
        description="Cables that give less: { link = [...], factor = 0.5 }.",
    )


class NodeSection(Section):
    """What joins the devices inside a node."""

    topology: NodeTopology = Field(
        default="switch",
        description="Graph inside a node (`simulate list topologies`); `switch` is"
        " non-blocking.",
    )
    pcie: str | None = Field(
        default=None,
        description="Link of a device to its PCIe switch, over which it reaches the"
        " adapters; on a switch without it, adapters are on that switch.",
        json_schema_extra={"catalogue": "links"},
    )
    bridge: str | None = Field(
        default=None,
        description="Link of a PCIe switch to its host bridge; left out, a device's.",
        json_schema_extra={"catalogue": "links"},
    )
    socket: str | None = Field(
        default=None,
        description="Link between the sockets; left out, as that to the bridge.",
        json_schema_extra={"catalogue": "links"},
    )
    switches: Annotated[int, Field(ge=0, le=MAX_DEVICES)] | None = Field(
        default=None, description="PCIe switches; 0 puts devices on the host bridges."
    )
    links: Degree | None = Field(
        default=None, description="Of a device to others: 6 or 4 (hybrid-cube-mesh)."
    )
    adapters_on: AdaptersOn | None = Field(
        default=None, description="What adapters hang on: a PCIe switch, or a socket."
    )


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


class BackgroundSection(Section):
    """Cross traffic on the same network: a flow, or another job."""

    from_: Annotated[int, Field(ge=0, le=MAX_DEVICES)] | None = Field(
        default=None, alias="from", description="Node that sends, from 0."
    )
    to: Annotated[int, Field(ge=0, le=MAX_DEVICES)] | None = Field(
        default=None, description="Node that receives, from 0."
    )
    rate: Annotated[float | None, Quantity("B/s")] = Field(
        default=None, description="Of a steady flow, at most."
    )
    size: Annotated[float | None, Quantity("B")] = Field(
        default=None, description="Of a message that is sent again and again."
    )
    period: Annotated[float | None, Quantity("s")] = Field(
        default=None, description="From one message to the next, at least 10 us."
    )
    plan: str | None = Field(
        default=None,
        description="Plan of another job, relative to this plan's folder.",
    )
    first_node: Annotated[int, Field(ge=0, le=MAX_DEVICES)] | None = Field(
        default=None,
        description="First of the other job's nodes, from 0; all of them free.",
        json_schema_extra=_without_default,
    )


class ClusterSection(Section):
    """The hardware that the plan runs on."""

    device: str = Field(
        description="The accelerator (`simulate list devices`), or a file of"
        " `simulate calibrate`, relative to this plan's folder.",
        examples=["a100-sxm4-80gb"],
        json_schema_extra={"catalogue": "devices"},
    )
    nodes: Degree = Field(default=1, description="Hosts.")
    devices_per_node: Degree = Field(default=1, description="Accelerators in a host.")
    fabric: str | None = Field(
        default=None,
        description="Link between the devices of a node (`simulate list links`);"
        " needed when there are several.",
        json_schema_extra={"catalogue": "links"},
    )
    node: NodeSection | None = Field(
        default=None,
        description="Graph inside a node; left out, a non-blocking switch.",
    )
    network: NetworkSection | None = Field(
        default=None,
        description="Link between nodes; needed when there are several.",
    )
    shared_cores: Degree | None = Field(
        default=None,
        description="Cores of one machine on which all devices are threads, so that"
        " more kernels at once than cores take turns, and lack what messages need"
        " where a profile says it (event engine); left out, a device shares nothing of"
        " what it computes with.",
    )
    background: Annotated[tuple[BackgroundSection, ...], Field(strict=False)] = Field(
        default=(),
        max_length=_MAX_LISTED,
        description="Cross traffic on the same network.",
    )
    profile: str | None = Field(
        default=None,
        description="Measured constants to price with (`simulate list profiles`), or"
        " a file of `simulate calibrate`, relative to this plan's folder;"
        " left out, those of the device.",
        json_schema_extra={"catalogue": "profiles"},
    )

    @property
    def num_devices(self) -> int:
        """Accelerators in all nodes [1]."""
        return self.nodes * self.devices_per_node

    @property
    def has_graph(self) -> bool:
        """Whether the plan names a graph, between its nodes or inside them."""
        between = self.network is not None and self.network.topology != "switch"
        return self.node is not None or (between and self.nodes > 1)
