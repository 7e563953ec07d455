"""Every row of the table, sent for real: what arrives, and how many bytes that took.

All rows run at 2 to 8 ranks in one world of gloo processes, on tensors of whole
numbers in float64, so that sums are exact in any order.
"""

from functools import partial

import pytest

torch = pytest.importorskip("torch.distributed")

from collective_cases import WORLD, cases, size_of, work  # noqa: E402
from torch import Tensor  # noqa: E402
from worlds import launch  # noqa: E402

from calibration.torch_engine.collectives import Peers, perform  # noqa: E402
from simulator.collectives import TABLE  # noqa: E402


@pytest.fixture(scope="module")
def outcomes():
    """What came of every case, by case; all ranks' answers."""
    tried = cases()
    answers = launch(partial(work, cases=tried), WORLD)
    return list(zip(tried, zip(*answers, strict=True), strict=True))


def test_every_row_is_tried_at_every_number_of_ranks_it_allows():
    tried = {key for key, _, _ in cases()}
    assert {key for key, row in TABLE.items() if not row.is_in_switch} == tried
    assert len(cases()) > 150


@pytest.mark.parametrize("key", [k for k, r in TABLE.items() if not r.is_in_switch])
def test_everyone_gets_what_the_pattern_promises(outcomes, key):
    for (name, num_ranks, options), answers in outcomes:
        if name == key:
            faults = [fault for fault, _ in answers if fault]
            assert faults == [], f"{num_ranks} ranks, {options}"


@pytest.mark.parametrize("key", [k for k, r in TABLE.items() if not r.is_in_switch])
def test_bytes_sent_are_the_wire_bytes_of_the_table(outcomes, key):
    row = TABLE[key]
    for (name, num_ranks, options), answers in outcomes:
        if name == key:
            size = size_of(row, num_ranks)
            expected = row.wire_bytes(size, num_ranks, options)
            assert expected == pytest.approx(
                sum(sent for _, sent in answers), rel=1e-12
            )
            rounds = row.rounds(num_ranks, size, options)
            for place, (_, sent) in enumerate(answers):
                own = sum(
                    part.count * part.size[part.sender == place].sum()
                    for part in rounds
                )
                assert own == pytest.approx(sent, rel=1e-12)


def test_a_switch_is_not_a_rank():
    peers = Peers(members=range(2), place=0)
    with pytest.raises(ValueError, match="a switch that adds"):
        perform(TABLE["all-reduce", "in-network"], Tensor([0.0]), peers, 2)
