"""The automatic zero-bubble schedule, against the tables of arXiv:2401.10241."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engines.graph import build_graph
from simulator.engines.longest_path import longest_path
from simulator.lowering.schedules.automatic import Times, automatic, longest_row
from simulator.lowering.schedules.checking import check
from simulator.lowering.schedules.table import schedule
from tests.oracles.schedules import workload

# Table 6 (ms) and the bubbles of table 5, which its authors computed from it; what a
# micro-batch keeps is 34 h + 5 a s and 32 h of it from I to W (table 1).
PROFILES = {  # model: p, heads, width
    "1.5B": (8, 24, 2304),
    "6.2B": (8, 32, 4096),
    "14.6B": (16, 40, 5120),
}
TABLE = [  # model, m, F, I, W, transfer; bubbles of 1F1B, ZB-H1 and ZB-1p, ZB-H2, ZB-2p
    ("1.5B", 24, 18.522, 18.086, 9.337, 0.601, (0.2431, 0.1585, 0.1083, 0.0433)),
    ("1.5B", 32, 18.513, 18.086, 9.331, 0.626, (0.1985, 0.1242, 0.0837, 0.0039)),
    ("1.5B", 64, 18.546, 18.097, 9.321, 0.762, (0.1240, 0.0674, 0.0444, 0.0026)),
    ("6.2B", 24, 29.718, 29.444, 19.927, 0.527, (0.2347, 0.1323, 0.0698, 0.0029)),
    ("6.2B", 32, 29.802, 29.428, 19.530, 0.577, (0.1898, 0.1045, 0.0559, 0.0022)),
    ("6.2B", 64, 29.935, 29.621, 19.388, 0.535, (0.1091, 0.0554, 0.0294, 0.0010)),
    ("14.6B", 48, 11.347, 11.248, 8.132, 0.377, (0.2552, 0.1397, 0.0672, 0.0066)),
    ("14.6B", 64, 11.307, 11.254, 8.101, 0.379, (0.2082, 0.1088, 0.0516, 0.0054)),
    ("14.6B", 128, 11.325, 11.308, 8.109, 0.378, (0.1251, 0.0576, 0.0266, 0.0028)),
]
TOKENS = 1024


def rounded(ideal, time):
    return round(1 - ideal / time, 4)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]}-m{row[1]}")
def test_bubbles_of_table_5(row):
    model, m, *profile, (flat, first, second, most) = row
    p, heads, width = PROFILES[model]
    share = 32 * width / (34 * width + 5 * heads * TOKENS)
    times = Times(*profile, share)
    ideal = m * sum(profile[:3])
    assert rounded(ideal, longest_row(automatic(p, m, times, p), times)) == first
    assert rounded(ideal, longest_row(automatic(p, m, times, 2 * p), times)) == most
    assert rounded(ideal, longest_row(schedule("zb-h1", p, m), times)) == first
    assert rounded(ideal, longest_row(schedule("zb-h2", p, m), times)) == second
    costs = dict(zip("FIW", profile[:3], strict=True))
    run, prices = workload(schedule("1f1b", p, m), costs, profile[3])
    assert rounded(ideal, max(longest_path(build_graph(run, prices)).end)) == flat


@given(
    st.integers(2, 16),
    st.integers(1, 64),
    st.tuples(*[st.integers(4, 40)] * 3, st.integers(0, 3)),
    st.sampled_from([0.25, 0.5, 1.0]),
    st.sampled_from([1.0, 1.25, 2.0]),
)
@settings(derandomize=True, deadline=None, max_examples=100)
def test_searched_schedules_keep_the_limit_and_are_no_worse(p, m, costs, share, limit):
    times = Times(*map(float, costs), share)
    rows = automatic(p, m, times, limit * p)
    check(rows)
    change = {"F": 1.0, "I": share - 1.0, "W": -share}
    for row in rows:
        kept = 0.0
        for action in row:
            kept += change[action.kind]
            assert kept <= limit * p + 1e-6
    by_hand = longest_row(schedule("zb-h1", p, m), times)
    assert longest_row(rows, times) <= by_hand


def test_more_memory_leaves_less_bubble():
    times = Times()
    found = [longest_row(automatic(8, 32, times, n * 8), times) for n in (1, 2)]
    assert found[1] < found[0]
    assert found[1] == 3 * 32  # no bubble at all
