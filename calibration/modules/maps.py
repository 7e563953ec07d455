"""What works on maps, sequences of steps and vectors looked up, as torch modules."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from calibration.modules.placing import Placing
from models.functions import Contrast, Normalisation, Pool
from models.operators import Convolution, LocallyConnected, Lstm

_EPSILON = 1e-5  # keeps roots and quotients of zeros finite


class Filters(nn.Conv2d):
    """A convolution; groups that share maps of a smaller input pick them in a circle.

    LeNet's table of who reads which map is not stated in the layer table: group g reads
    as many maps as it needs from map g on.
    """

    def __init__(self, operator: Convolution, place: Placing) -> None:
        super().__init__(
            operator.channels_in,
            operator.channels_out,
            operator.kernel,
            stride=operator.stride,
            padding=operator.padding,
            groups=operator.groups,
            bias=operator.bias,
            **place._asdict(),
        )
        self.operator = operator

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        """Return the filtered maps."""
        if inputs.shape[1] < self.in_channels:
            groups = torch.arange(self.groups, device=inputs.device)
            reads = torch.arange(self.in_channels // self.groups, device=inputs.device)
            chosen = (groups[:, None] + reads) % inputs.shape[1]
            inputs = inputs.index_select(1, chosen.flatten())
        return super().forward(inputs)


class LocalFilters(nn.Module):
    """Filters of every place's own: a batch of products, one a place."""

    def __init__(self, operator: LocallyConnected, place: Placing) -> None:
        super().__init__()
        inner = operator.channels_in * operator.window.size**2
        shape = operator.places, inner, operator.channels_out
        self.weight = nn.Parameter(torch.empty(shape, **place._asdict()))
        self.operator = operator

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        """Return a map a filter."""
        window = self.operator.window
        patches = functional.unfold(inputs, window.size, stride=window.stride)
        products = torch.bmm(patches.permute(2, 0, 1), self.weight)
        return torch.unflatten(products.permute(1, 2, 0), 2, self.operator.output)


class BatchNormed(nn.BatchNorm2d):
    """Batch normalisation in training; nobody evaluates, so nothing is tracked."""

    def __init__(self, function: Normalisation, place: Placing) -> None:
        super().__init__(function.width, track_running_stats=False, **place._asdict())


class InstanceNormed(nn.Module):
    """Normalisation of every map of a sample, without gain and bias."""

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        """Return the maps normalised."""
        return functional.instance_norm(inputs)


class Pooled(nn.Module):
    """One number a window; several arguments are maps side by side."""

    def __init__(self, function: Pool) -> None:
        super().__init__()
        self.function = function

    @override
    def forward(self, *inputs: Tensor) -> Tensor:
        """Return smaller maps."""
        maps = torch.cat(inputs, dim=1) if len(inputs) > 1 else inputs[0]
        function = self.function
        window = (function.kernel, function.stride, function.padding)
        match function.kind:
            case "max":
                return functional.max_pool2d(
                    maps, *window, ceil_mode=function.is_ceiled
                )
            case "average":
                return functional.avg_pool2d(maps, *window)
            case "l2":
                means = functional.avg_pool2d(maps.square(), *window)
                return (means * function.kernel**2 + _EPSILON).sqrt()
            case "scaled":
                return functional.avg_pool2d(maps, *window) * function.kernel**2


class ScaledPool(Pooled):
    """Sums over windows, with a trained factor and bias a map."""

    def __init__(self, function: Pool, place: Placing) -> None:
        super().__init__(function)
        maps = function.channels
        self.weight = nn.Parameter(torch.empty(maps, **place._asdict()))
        self.bias = nn.Parameter(torch.empty(maps, **place._asdict()))

    @override
    def forward(self, *inputs: Tensor) -> Tensor:
        """Return smaller maps, scaled and shifted."""
        sums = super().forward(*inputs)
        return sums * self.weight[:, None, None] + self.bias[:, None, None]


class Contrasted(nn.Module):
    """Subtraction of a local mean and division by a local deviation."""

    def __init__(self, function: Contrast) -> None:
        super().__init__()
        self.side = function.side

    @override
    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same size."""
        centred = maps - self._mean(maps)
        return centred / (self._mean(centred.square()) + _EPSILON).sqrt()

    def _mean(self, maps: Tensor) -> Tensor:
        """Return the mean over all maps and a neighbourhood, for every place."""
        means = maps.mean(1, keepdim=True)
        return functional.avg_pool2d(
            means, self.side, 1, self.side // 2, count_include_pad=False
        )


class Recurrent(nn.LSTM):
    """A layer of long short-term memory over all steps."""

    def __init__(self, operator: Lstm, place: Placing) -> None:
        super().__init__(
            operator.inner, operator.hidden, batch_first=True, **place._asdict()
        )
        self.operator = operator

    @override
    def forward(self, steps: Tensor) -> Tensor:
        """Return the outputs of all steps."""
        outputs: Tensor = super().forward(steps)[0]
        return outputs


class Joined(nn.Module):
    """Its arguments side by side, along channels."""

    @override
    def forward(self, *inputs: Tensor) -> Tensor:
        """Return all maps."""
        return torch.cat(inputs, dim=1)


class Doubled(nn.Module):
    """Maps of twice the height and width."""

    @override
    def forward(self, maps: Tensor) -> Tensor:
        """Return every pixel four times."""
        return functional.interpolate(maps, scale_factor=2)


class Shifted(nn.Module):
    """Maps moved by a pixel up and left."""

    @override
    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same size."""
        return functional.pad(maps[:, :, 1:, 1:], (0, 1, 0, 1))


class Stacked(nn.Module):
    """A dense vector and those looked up, as rows of one matrix a sample."""

    @override
    def forward(self, *vectors: Tensor) -> Tensor:
        """Return samples x vectors x width."""
        return torch.stack(vectors, dim=1)


class PairsPicked(nn.Module):
    """What stands below the diagonal of a square, behind the dense vector."""

    @override
    def forward(self, square: Tensor, dense: Tensor) -> Tensor:
        """Return samples x (width + pairs)."""
        size = square.shape[1]
        rows, columns = torch.tril_indices(size, size, -1, device=square.device)
        return torch.cat((dense, square[:, rows, columns]), dim=1)


class Compared(nn.Module):
    """Squared distances of the features to a fixed code a class: ones and minus ones.

    The published codes draw characters; these are as good for a cost.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    @override
    def forward(self, features: Tensor) -> Tensor:
        """Return a distance a class."""
        width = features.shape[1]
        places = torch.arange(width, device=features.device)
        classes = torch.arange(1, self.classes + 1, device=features.device)
        codes = ((classes[:, None] * places) % 7 < 3).to(features.dtype) * 2 - 1
        return (features[:, None] - codes).square().sum(-1)
