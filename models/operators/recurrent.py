"""A layer of long short-term memory, as cuDNN runs it over a sequence.

The product with the inputs is one for all steps. The product with the state of the step
before cannot be: every step is a small product and a kernel over its gates, one after
the other, and the backward pass the same in reverse.

Limits: cuDNN joins several steps and layers into persistent kernels where they fit;
that is not modelled, so a small state is priced as launches.

Source: Appleyard et al., arXiv:1604.01946, section 3 (from memory); FLOP equal those of
    torch.nn.LSTM, which the tests hold.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.operators.operator import Split
from models.work import Share, Work, matrix_work, memory_work

# Elements a unit and step. Forward reads the four sums of the inputs, the four of the
# states and a cell, and writes four gates, cell and output.
_FORWARD_ELEMENTS = 15
# Backward reads four gates, two cells, two gradients of the output and one of the cell,
# and writes four gradients of the gates and one of the cell.
_BACKWARD_ELEMENTS = 14
_GATES = 4
_DIRECTION = {"F": "forward", "I": "input", "W": "weight"}
# Gates, cell and output are kept, beside the input.
_KEPT_ELEMENTS = 6


@dataclass(frozen=True, slots=True)
class Lstm:
    """Long short-term memory over the steps of a sequence.

    Fields:
        steps: of the sequence [1].
        inner: features of the input of a step [1].
        hidden: h, units [1].
        needs_input_gradient: False where the input is the sample itself [bool].
    """

    name: str
    steps: int
    inner: int
    hidden: int
    needs_input_gradient: bool = True

    split = Split.NONE
    is_core_attention = False

    @property
    def parameters(self) -> int:
        """Weights of inputs and states, a bias for each: 4 h (inner + h + 2) [1]."""
        return _GATES * self.hidden * (self.inner + self.hidden + 2)

    def _product(
        self, name: str, share: Share, dims: tuple[float, float, float]
    ) -> Work:
        rows, columns, inner = dims
        return matrix_work(
            f"{self.name} {name}",
            rows=rows,
            columns=columns,
            inner=inner,
            batch=1,
            element=share.element,
            function=f"product {_DIRECTION[name[-1]]}",
        )

    def _gates(self, name: str, share: Share, elements: int) -> Work:
        size = share.element * share.samples * self.hidden * elements
        direction = "forward" if name.endswith("F") else "backward"
        return memory_work(
            f"{self.name} {name}", size, function=f"lstm gates {direction}"
        )

    def forward(self, share: Share) -> tuple[Work, ...]:
        """Return the product of all inputs, then a product and gates every step."""
        samples, gates = share.samples, _GATES * self.hidden
        inputs = self._product(
            "inputs F", share, (samples * self.steps, gates, self.inner)
        )
        state = self._product("state F", share, (samples, gates, self.hidden))
        return (
            inputs,
            *(state, self._gates("gates F", share, _FORWARD_ELEMENTS)) * self.steps,
        )

    def backward_input(self, share: Share) -> tuple[Work, ...]:
        """Return gates and the product of states every step, then that of all inputs.

        The gradient of the very first state is computed too, as cuDNN does.
        """
        samples, gates = share.samples, _GATES * self.hidden
        state = self._product("state I", share, (samples, self.hidden, gates))
        steps = (self._gates("gates I", share, _BACKWARD_ELEMENTS), state) * self.steps
        if not self.needs_input_gradient:
            return steps
        dims = (samples * self.steps, self.inner, gates)
        return (*steps, self._product("inputs I", share, dims))

    def backward_weight(self, share: Share) -> tuple[Work, ...]:
        """Return both weights' gradients over all steps, and that of the biases."""
        rows, gates = share.samples * self.steps, _GATES * self.hidden
        weights = (
            self._product("inputs W", share, (self.inner, gates, rows)),
            self._product("state W", share, (self.hidden, gates, rows)),
        )
        summed = share.element * rows * gates
        name = f"{self.name} bias W"
        return (*weights, memory_work(name, summed, function="bias weight"))

    def saved_bytes(self, share: Share) -> float:
        """Return the bytes of inputs, gates, cells and outputs of all steps [B]."""
        elements = self.inner + _KEPT_ELEMENTS * self.hidden
        return share.element * share.samples * self.steps * elements
