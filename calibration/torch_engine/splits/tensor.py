"""Tensor and sequence parallelism: activations as DTensors, by each operator's `Split`.

A rank keeps its part of a weight as a plain parameter, so that every other split can
treat it as any other. Around it, DTensor decides what is sent: inputs are declared as
divided or whole, and outputs are asked for as divided or whole.

===========  ================  ====================================================
split        weight, bias      input -> output (with sequence parallelism)
===========  ================  ====================================================
column       rows, its part    whole (divided tokens) -> divided columns
row          columns, whole    divided columns -> whole (divided tokens)
vocabulary   rows, -           whole -> whole (divided tokens)
none         whole             as it is; over divided tokens its gradient is summed
===========  ================  ====================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Placement, Replicate, Shard

from calibration.modules import LayerModule
from models.mixture import ExpertLinear
from models.operators import Embedding, Split

_TOKENS = 1  # the dimension of tokens in samples x tokens x features


class Layout(NamedTuple):
    """How one module is divided.

    Fields:
        tensors: placements of its parameters, by name.
        inputs: of what it reads.
        outputs: of what it puts out, asked for.
    """

    tensors: Mapping[str, Placement]
    inputs: Placement
    outputs: Placement


def divide(layers: list[LayerModule], mesh: DeviceMesh, *, is_sequence: bool) -> None:
    """Divide the layers of this rank over the tensor ranks, in place.

    Args:
        layers: with whole parameters.
        mesh: of the tensor ranks.
        is_sequence: whether they also divide the tokens of what is between.
    """
    for layer in layers:
        for module in layer.children():
            layout = _layout(module, is_sequence=is_sequence)
            if layout is None:
                continue
            for name, placement in layout.tensors.items():
                _keep_part(module, name, placement, mesh)
            module.forward = partial(
                _forward, module, type(module).forward, layout, mesh
            )


def parts(
    layers: list[LayerModule], *, is_sequence: bool
) -> Iterator[tuple[nn.Parameter, Placement]]:
    """Yield parameters with how they are divided; those that are whole left out."""
    for layer in layers:
        for module in layer.children():
            layout = _layout(module, is_sequence=is_sequence)
            for name, placement in layout.tensors.items() if layout else ():
                if isinstance(placement, Shard):
                    yield getattr(module, name), placement


def _layout(module: nn.Module, *, is_sequence: bool) -> Layout | None:
    """Return how a module is divided; None if it is not."""
    operator = getattr(module, "operator", None)
    if isinstance(operator, ExpertLinear):
        return None  # see `experts`
    split = getattr(operator, "split", Split.NONE)
    tokens: Placement = Shard(_TOKENS) if is_sequence else Replicate()
    columns = Shard(-1)
    has_bias = getattr(module, "bias", None) is not None
    if split is Split.COLUMN:
        tensors = {"weight": Shard(0)} | ({"bias": Shard(0)} if has_bias else {})
        return Layout(tensors, tokens, columns)
    if split is Split.ROW:
        whole = {"bias": Replicate()} if has_bias else {}
        return Layout({"weight": Shard(1), **whole}, columns, tokens)
    if split is Split.VOCABULARY:
        return Layout({"weight": Shard(0)}, Replicate(), tokens)
    own = [name for name, _ in module.named_parameters(recurse=False)]
    if split is Split.NONE and is_sequence and own:
        if isinstance(operator, Embedding):  # looks all tokens up
            return Layout({}, Replicate(), tokens)
        return Layout(dict.fromkeys(own, Replicate()), tokens, tokens)
    return None


def _keep_part(
    module: nn.Module, name: str, placement: Placement, mesh: DeviceMesh
) -> None:
    """Replace a parameter by this rank's part of it."""
    whole = getattr(module, name)
    if not isinstance(placement, Shard) or hasattr(whole, "is_part"):
        return
    part = whole.data.chunk(mesh.size(), placement.dim)[mesh.get_local_rank()]
    whole.data = part.clone()  # the same parameter for whoever shares it
    whole.is_part = True


def _forward(
    module: nn.Module,
    forward: Callable[..., Any],
    layout: Layout,
    mesh: DeviceMesh,
    *inputs: Tensor,
) -> Any:
    """Run a module on DTensors, and return its local output."""
    if not layout.tensors:
        whole = DTensor.from_local(forward(module, *inputs), mesh, [layout.inputs])
        return whole.redistribute(placements=[layout.outputs]).to_local()
    first, *others = inputs
    divided = DTensor.from_local(first, mesh, [layout.inputs], run_check=False)
    if layout.inputs == Shard(_TOKENS) and layout.outputs == Shard(-1):
        divided = divided.redistribute(placements=[Replicate()])
    with _distributed(module, layout.tensors, mesh):
        output = forward(module, divided, *others)
    return output.redistribute(placements=[layout.outputs]).to_local()


@contextmanager
def _distributed(
    module: nn.Module, placements: Mapping[str, Placement], mesh: DeviceMesh
) -> Iterator[None]:
    """Let a module see its parameters as DTensors."""
    local = {name: getattr(module, name) for name in placements}
    for name, placement in placements.items():
        whole = DTensor.from_local(local[name], mesh, [placement], run_check=False)
        module._parameters[name] = whole  # noqa: SLF001 - as `functional_call` does
    try:
        yield
    finally:
        module._parameters.update(local)  # noqa: SLF001 - same
