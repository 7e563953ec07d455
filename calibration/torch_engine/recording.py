"""What a rank really sends, computes and keeps: recorded below every library.

A dispatch mode sees each operation that reaches torch's dispatcher: collectives of
DDP, FSDP, DTensor, pipelining and our own, whoever asks for them. Nothing here knows
the plan. It slows what it sees, so steps that are timed run without it.
"""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
from typing_extensions import override

from calibration.torch_engine.errors import RunError
from calibration.torch_engine.task import Calls
from simulator.workload import Axis
from topologies.units import Bytes, Flop

# What each call is, and which of its arguments is the message in NCCL's convention.
_CALLS: dict[str, tuple[str, str]] = {
    "c10d.allreduce_": ("all-reduce", "tensors"),
    "c10d.allreduce_coalesced_": ("all-reduce", "tensors"),
    "c10d._allgather_base_": ("all-gather", "output_tensor"),
    "c10d.allgather_": ("all-gather", "output_tensors"),
    "c10d.allgather_into_tensor_coalesced_": ("all-gather", "outputs"),
    "c10d._reduce_scatter_base_": ("reduce-scatter", "input_tensor"),
    "c10d.reduce_scatter_": ("reduce-scatter", "input_tensors"),
    "c10d.reduce_scatter_tensor_coalesced_": ("reduce-scatter", "inputs"),
    "c10d.broadcast_": ("broadcast", "tensors"),
    "c10d.reduce_": ("reduce", "tensors"),
    "c10d.alltoall_base_": ("all-to-all", "input"),
    "c10d.alltoall_": ("all-to-all", "input_tensors"),
    "c10d.send": ("send", "tensors"),
    "_c10d_functional.all_reduce": ("all-reduce", "input"),
    "_c10d_functional.all_reduce_": ("all-reduce", "input"),
    "_c10d_functional.all_reduce_coalesced": ("all-reduce", "inputs"),
    "_c10d_functional.all_gather_into_tensor": ("all-gather", ""),
    "_c10d_functional.reduce_scatter_tensor": ("reduce-scatter", "input"),
    "_c10d_functional.all_to_all_single": ("all-to-all", "input"),
    "_c10d_functional.broadcast": ("broadcast", "input"),
    "_c10d_functional.broadcast_": ("broadcast", "input"),
}
_SILENT = {
    "c10d.recv_",  # counted where they are sent
    "c10d.recv_any_source_",
    "_c10d_functional.wait_tensor",
    "_c10d_functional._wrap_tensor_autograd",
}


class Recorder(TorchDispatchMode):
    """Counts messages by pattern and axis, and the bytes of live tensors.

    Fields:
        axes: of process groups, by their names; others are refused.
        carriers: names of groups whose sends carry out messages counted as a whole.
        carried: bytes of those sends [B].
        flop: of products and convolutions, by torch's own counts [FLOP].
        live, peak: bytes of tensors that are there now, and that were at most [B].
    """

    def __init__(
        self, axes: Mapping[str, Axis], carriers: Collection[str] = ()
    ) -> None:
        super().__init__()
        self.axes, self.carriers = axes, carriers
        self.carried: Bytes = 0
        self.flop: Flop = 0
        self.live: Bytes = 0
        self.peak: Bytes = 0
        self._storages: set[int] = set()
        self._calls: dict[tuple[str, Axis, int], list[int]] = defaultdict(list)

    def hold(self, tensors: Any) -> None:
        """Count tensors that were there before."""
        for tensor in tree_leaves(tensors):
            if isinstance(tensor, torch.Tensor):
                self._keep(tensor)

    @property
    def calls(self) -> tuple[Calls, ...]:
        """What this rank took part in sending."""
        return tuple(
            Calls(*key, sum(sizes), len(sizes))
            for key, sizes in sorted(self._calls.items())
        )

    @override
    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Record one operation and run it."""
        if any(issubclass(kind, DTensor) for kind in types):
            return NotImplemented  # it comes again, in terms of local tensors
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        packet = getattr(func, "_overloadpacket", func)
        name = str(packet)
        if packet in flop_registry:
            self.flop += flop_registry[packet](*args, **kwargs, out_val=result)
        if name.startswith(("c10d.", "_c10d_functional")):
            self._record(name, func, args, kwargs, result)
        self.hold(result)
        return result

    def _record(
        self, name: str, func: Any, args: Any, kwargs: Any, result: Any
    ) -> None:
        if name in _SILENT:
            return
        if name not in _CALLS:
            raise RunError(f"nothing is known of messages of {name}")
        pattern, part = _CALLS[name]
        names = [argument.name for argument in func._schema.arguments]  # noqa: SLF001 - no other way
        values = {**dict(zip(names, args, strict=False)), **kwargs}
        group = _group(values)
        if group.group_name in self.carriers:
            self.carried += sum(each.nbytes for each in tree_leaves(values[part]))
            return
        axis = self.axes.get(group.group_name)
        if axis is None:
            raise RunError(f"{name} in a group without an axis")
        message = tree_leaves(values[part] if part else result)
        size = sum(tensor.nbytes for tensor in message)
        if pattern == "send" and axis == "context":
            pattern = "neighbour-exchange"  # all ranks send at once: one message of all
        members = 1 if pattern == "send" else group.size()
        self.count(pattern, axis, members, size)

    def count(self, pattern: str, axis: Axis, members: int, size: int) -> None:
        """Count a message, such as one that is made of many sends.

        Args:
            pattern: what it does.
            axis: whose group.
            members: ranks that count the same [1].
            size: of the message [B].
        """
        self._calls[pattern, axis, members].append(size)

    def _keep(self, tensor: torch.Tensor) -> None:
        """Count a tensor's storage until it is gone."""
        if isinstance(tensor, DTensor):
            tensor = tensor._local_tensor  # noqa: SLF001 - its part, without an operation
        storage = tensor.untyped_storage()
        address = storage._cdata  # noqa: SLF001 - what views of one storage share
        if address in self._storages:
            return
        size = storage.nbytes()
        self._storages.add(address)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._drop, address, size)

    def _drop(self, address: int, size: Bytes) -> None:
        self._storages.discard(address)
        self.live -= size


def _group(values: Mapping[str, Any]) -> dist.ProcessGroup:
    """Return the group of a call: itself, boxed, or by name."""
    given = values.get("process_group", values.get("group_name"))
    if isinstance(given, str):
        return dist.distributed_c10d._resolve_process_group(given)  # noqa: SLF001 - no other way
    if isinstance(given, dist.ProcessGroup):
        return given
    return dist.ProcessGroup.unbox(given)
