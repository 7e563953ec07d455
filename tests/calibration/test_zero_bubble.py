"""Pipeline schedules against arXiv:2401.10241: stage times in, throughput out."""

from collections import defaultdict
from itertools import permutations
from pathlib import Path

import pytest

from calibration.scoring.score import score_files

PATH = Path(__file__).parents[2] / "calibration" / "published" / "zero-bubble.toml"
TIE = 0.005  # of a step time; the paper prints three digits of its inverse


@pytest.fixture(scope="module")
def rows():
    """(table and schedule, model, micro-batches), measured, predicted of each row."""
    (score,) = score_files([PATH]).files
    return [
        (row.row.id.rsplit("-", 2), row.main.measured, row.main.predicted)
        for row in score.rows
        if not row.row.id.startswith("t7")
    ]


def test_schedules_are_in_the_right_order_in_every_group(rows):
    groups = defaultdict(list)
    for (schedule, model, microbatches), measured, predicted in rows:
        groups[schedule[:2], model, microbatches].append((measured, predicted))
    assert len(groups) == 9 + 9
    for group in groups.values():
        for (slow, slower), (fast, faster) in permutations(group, 2):
            if slow > (1 + TIE) * fast:
                assert slower > faster


@pytest.mark.parametrize("model", ["1.5b", "6.2b", "14.6b"])
def test_throughput_of_table_4_is_within_two_and_a_half_per_cent(rows, model):
    errors = [
        abs(predicted / measured - 1)
        for (schedule, name, _), measured, predicted in rows
        if name == model and schedule.startswith("t4")
    ]
    assert len(errors) == 12
    assert sum(errors) / len(errors) <= 0.025
