"""Schedules written out, one row per rank, to be read by eye."""

from pathlib import Path

import pytest

from simulator.lowering.schedules.table import DESIGNS, schedule
from tests.oracles.schedule_text import written

FOLDER = Path(__file__).parent / "schedules"
SHAPES = {  # ranks, micro-batches, chunks
    "gpipe": (4, 6, 1),
    "1f1b": (4, 6, 1),
    "interleaved": (2, 4, 2),
    "zb-h1": (4, 6, 1),
    "zb-h2": (4, 8, 1),
    "zb-auto": (4, 6, 1),
    "zb-v": (3, 6, 1),
    "dualpipe": (4, 8, 1),
}


def test_every_schedule_has_a_file():
    assert set(SHAPES) == set(DESIGNS) == {path.stem for path in FOLDER.iterdir()}


@pytest.mark.parametrize("name", SHAPES)
def test_schedules_are_as_written(name):
    expected = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    assert expected == written(schedule(name, *SHAPES[name]))
