"""One layer of the table as a torch module: its operators, wired as the table says."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop
from typing_extensions import override

from calibration.modules.table import Recipe, module_of
from models.functions import Loss
from models.model import Layer
from models.operators import Elementwise, Operator
from models.wiring import FIRST_TOKEN, INPUT, LAST_TOKEN, PREVIOUS, carried

Values = dict[str, Any]
"""What operators put out, by their names: tensors, or tuples of them."""


class Step(NamedTuple):
    """One operator in its turn.

    Fields:
        operator: its row of the table, which says how tensor ranks split it.
        module: name of the module that executes it.
        reads: values in the order of the module's arguments.
    """

    operator: Operator
    module: str
    reads: tuple[str, ...]


class LayerModule(nn.Module):
    """The operators of a layer.

    Takes and puts out one tensor, or a tuple whose first goes to the next layer and
    whose others are the stack of values left for later ones.

    Fields:
        layer: its row of the table.
        steps: its operators and their modules, in forward order.
        recomputes_core: whether the core of attention is computed again in backward
            instead of kept.
        stops: whether what is computed again ends where no gradient needs more.
    """

    def __init__(self, layer: Layer, recipe: Recipe) -> None:
        super().__init__()
        self.layer = layer
        self.recomputes_core = False
        self.stops = True
        self.steps: list[Step] = []
        reads = (name for names in layer.reads.values() for name in names)
        self._read_by_name = {*reads, *layer.leaves, layer.puts_out}
        for operator in layer.operators:
            if not _is_loss(operator):
                self._add(operator, recipe)

    def _add(self, operator: Operator, recipe: Recipe) -> None:
        name = operator.name.replace(" ", "_").replace(".", "_")
        while hasattr(self, name):
            name += "_again"
        self.add_module(name, module_of(operator, recipe))
        reads = self.layer.reads.get(operator.name, (PREVIOUS,))
        self.steps.append(Step(operator, name, reads))

    @override
    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return what the next layer reads, and behind it the stack."""
        first, *stack = inputs
        values: Values = {INPUT: first, PREVIOUS: first}
        kept = len(stack) - self.layer.takes
        for number, value in enumerate(stack[kept:], start=1):
            values[carried(number)] = value
        for core, steps in self._runs():
            if core and self.recomputes_core:
                put_out = self.again(self._run, steps, values)
            else:
                put_out = self._run(steps, values)
            values = values | put_out
        stack = [*stack[:kept], *(values[name] for name in self.layer.leaves)]
        result: Tensor = values[self.layer.puts_out]
        return (result, *stack) if stack else result

    def again(self, forward: Any, *inputs: Any) -> Any:
        """Run a part of the layer that keeps nothing but its inputs."""
        with set_checkpoint_early_stop(enable=self.stops):
            return checkpoint(forward, *inputs, use_reentrant=False)

    def _runs(self) -> list[tuple[bool, list[Step]]]:
        """Return the steps, those of the core of attention together."""
        runs: list[tuple[bool, list[Step]]] = []
        for step in self.steps:
            is_core = step.operator.is_core_attention
            if not runs or runs[-1][0] != is_core:
                runs.append((is_core, []))
            runs[-1][1].append(step)
        return runs

    def _run(self, steps: list[Step], values: Values) -> Values:
        """Return what some steps put out, as far as a later one reads it."""
        put_out = Values()
        for step in steps:
            module = self.get_submodule(step.module)
            arguments = (_read(values | put_out, name) for name in step.reads)
            put_out[PREVIOUS] = module(*arguments)
            if step.operator.name in self._read_by_name:
                put_out[step.operator.name] = put_out[PREVIOUS]
        return put_out


def _is_loss(operator: Operator) -> bool:
    return isinstance(operator, Elementwise) and isinstance(operator.function, Loss)


def _read(values: Values, name: str) -> Any:
    """Return the value that a step reads by one of the words of `models.wiring`."""
    if name == FIRST_TOKEN:
        return values[INPUT][:, 0]
    if name == LAST_TOKEN:
        return values[INPUT][:, -1]
    return values[name]
