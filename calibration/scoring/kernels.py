"""How far are single convolutions off? DeepBench's rows, kernel by kernel.

    python -m calibration.scoring.kernels

prints, for each device, format and direction, the errors of the matrix product alone
and of the fastest algorithm, under the generic profile. No constant was fitted
on them; that transforms leave tensor cores alone, and that there is a narrow tile, was
decided after seeing them.
A plan cannot say a single kernel, so that this is no score file.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from calibration.scoring.statistics import Errors, summarize
from models.operators import Convolution
from models.work import Direction, Share, Work
from simulator.convolutions.choice import fastest
from simulator.convolutions.ways import Rates
from simulator.pricing.kernels import Achieved
from topologies.catalogue import device
from topologies.profile_file import load_profile
from topologies.units import Seconds, parse_quantity

FILE = Path(__file__).parents[1] / "published" / "deepbench-convolution.csv"
PRODUCT = ("implicit-gemm",)
_DIRECTIONS: tuple[Direction, ...] = ("forward", "input", "weight")


class Kernel(NamedTuple):
    """One measured convolution.

    Fields:
        name: row and direction.
        group: device, bytes of a number, format of the multiplications, direction.
        work: what it does.
        rates: what its device achieves under the generic profile.
        measured: time [s].
    """

    name: str
    group: tuple[str, str, str, str]
    work: Work
    rates: Rates
    measured: Seconds


def kernels(path: Path = FILE) -> Iterator[Kernel]:
    """Yield every measured direction of every row."""
    lines = path.read_text("utf-8").splitlines()
    for row in csv.DictReader(line for line in lines if not line.startswith("#")):
        operator = _operator(row)
        share = Share(float(row["samples"]), element=float(row["element"]))
        works = (
            operator.forward(share),
            operator.backward_input(share),
            operator.backward_weight(share),
        )
        for direction, (work,) in zip(_DIRECTIONS, works, strict=True):
            if time := row[f"{direction}_ms"]:
                yield Kernel(
                    f"{row['id']} {direction}",
                    (row["device"], row["element"], row["peak"], direction),
                    work,
                    _rates(row["device"], row["peak"]),
                    parse_quantity(f"{time} ms", "s"),
                )


def errors(offered: Sequence[str] = ()) -> dict[tuple[str, ...], Errors]:
    """Return the errors of each group when `offered` algorithms may be chosen."""
    found: dict[tuple[str, ...], list[tuple[str, float]]] = defaultdict(list)
    for kernel in kernels():
        time = fastest(kernel.work, kernel.rates, offered).time
        found[kernel.group].append((kernel.name, time / kernel.measured - 1))
    summaries = ((group, summarize(values)) for group, values in found.items())
    return {group: summary for group, summary in summaries if summary}


def table() -> str:
    """Return the errors of the product alone and of the fastest, group by group."""
    product, best = errors(PRODUCT), errors()
    head = f"{'device':16} {'B':>2} {'rate':5} {'direction':9} {'rows':>4}"
    lines = [
        f"{head} {'product: MAPE':>14} {'bias':>6} {'fastest: MAPE':>14} {'bias':>6}"
    ]
    for (name, element, peak, direction), old in product.items():
        new = best[name, element, peak, direction]
        lines.append(
            f"{name:16} {element:>2} {peak:5} {direction:9} {old.rows:4}"
            f" {old.mape:14.0%} {old.bias:+6.0%} {new.mape:14.0%} {new.bias:+6.0%}"
        )
    return "\n".join(lines)


def _operator(row: dict[str, str]) -> Convolution:
    height, width, kernel_height, kernel_width, stride, padding, inner, outer = (
        int(row[name])
        for name in (
            "height",
            "width",
            "kernel_height",
            "kernel_width",
            "stride",
            "padding",
            "channels_in",
            "channels_out",
        )
    )
    return Convolution(
        row["id"],
        inner,
        outer,
        kernel=(kernel_height, kernel_width),
        output=(
            (height + 2 * padding - kernel_height) // stride + 1,
            (width + 2 * padding - kernel_width) // stride + 1,
        ),
        inputs=inner * height * width,
    )


def _rates(name: str, peak: str) -> Rates:
    board, profile = device(name), load_profile("generic")
    rate = board.peak[peak]
    return Achieved(board, profile, rate, rate).convolution_rates


if __name__ == "__main__":
    print(table())  # noqa: T201 - what it is for
