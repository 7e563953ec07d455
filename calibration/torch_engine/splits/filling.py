"""Buckets of gradients that are sent as they fill, in order, while backward goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from topologies.units import Bytes


class Filling:
    """Hears of gradients as they come, and says which bucket is full.

    A bucket is sent behind those before it, so that all ranks send in one order.
    """

    def __init__(
        self,
        buckets: Sequence[Sequence[nn.Parameter]],
        num_passes: int,
        send: Callable[[int], None],
    ) -> None:
        """Listen to the gradients of all buckets.

        Args:
            buckets: parameters, in the order in which their gradients come.
            num_passes: backward passes after which a gradient is sent [1].
            send: told the number of each bucket that is complete.
        """
        self._send = send
        self._awaited = [len(each) * num_passes for each in buckets]
        self._missing = list(self._awaited)
        self._next = 0
        self._number = {
            id(each): number for number, own in enumerate(buckets) for each in own
        }
        for own in buckets:
            for parameter in own:
                parameter.register_post_accumulate_grad_hook(self._heard)

    def _heard(self, parameter: nn.Parameter) -> None:
        self._missing[self._number[id(parameter)]] -= 1
        while self._next < len(self._missing) and not self._missing[self._next]:
            self._send(self._next)
            self._next += 1
        if self._next == len(self._missing):
            self._missing, self._next = list(self._awaited), 0


def filled_by_tensors(
    parameters: Sequence[nn.Parameter], bucket: Bytes
) -> list[list[nn.Parameter]]:
    """Return buckets that close with the tensor that fills them, as DDP's do.

    Args:
        parameters: in the order of their gradients.
        bucket: bytes of parameters that fill one [B].
    """
    buckets: list[list[nn.Parameter]] = [[]]
    filled = 0
    for each in parameters:
        buckets[-1].append(each)
        filled += each.numel() * each.element_size()
        if filled >= bucket:
            buckets.append([])
            filled = 0
    return buckets if buckets[-1] else buckets[:-1]
