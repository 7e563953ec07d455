"""How long does one answer take from a cold start, against what it cannot avoid?

A whole process that predicts GPT-3 on 512 devices, against one that only imports
NumPy and SimPy; and `simulate --help` against an interpreter that does nothing.

    python benchmarks/cold_start.py [--repeats 15]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from measuring import interleaved, process, ratios, spread

ROOT = Path(__file__).parent.parent
PLAN = ROOT / "plans" / "gpt-175b-512gpu.toml"
# Of whatever environment runs this: its interpreter, and the code of this checkout.
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""}
SIMULATE = [sys.executable, "-m", "simulator"]
PAIRS = {
    "a prediction": (
        [*SIMULATE, str(PLAN)],
        [sys.executable, "-c", "import numpy, simpy"],
    ),
    "--help": (
        [*SIMULATE, "--help"],
        [sys.executable, "-c", "pass"],
    ),
}


def main() -> None:
    """Measure, and print ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    for name, (ours, bare) in PAIRS.items():
        _compare(name, ours, bare, repeats)


def _compare(name: str, ours: list[str], bare: list[str], repeats: int) -> None:
    samples = interleaved(
        {
            "ours": lambda: process(ours, environment=ENVIRONMENT),
            "bare": lambda: process(bare, environment=ENVIRONMENT),
        },
        repeats,
    )
    print(f"{name}: {repeats} repeats, median (min … max)")
    print(f"  simulate {' '.join(ours[3:])}  against  python {' '.join(bare[1:])}")
    for kind in ("cpu", "wall"):
        times = {
            run: [1e3 * getattr(sample, kind) for sample in each]
            for run, each in samples.items()
        }
        ratio = ratios(times["ours"], times["bare"])
        print(f"  {kind:<5} simulate {spread(times['ours'], '.0f')} ms")
        print(f"  {'':<5} bare     {spread(times['bare'], '.0f')} ms")
        print(f"  {'':<5} ratio    {spread(ratio, '.2f')}")
    print()


if __name__ == "__main__":
    main()
