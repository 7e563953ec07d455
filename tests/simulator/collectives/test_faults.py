"""What cannot be done says why, and the table loads without numerics."""

import subprocess
import sys

import pytest

from simulator.collectives import TABLE, Options


@pytest.mark.parametrize(
    ("pattern", "name", "options", "message"),
    [
        (
            "all-gather",
            "recursive-doubling",
            {},
            "takes a power of two of ranks, not 6",
        ),
        ("all-reduce", "hierarchical", {"per_node": 4}, "per_node = 4 does not divide"),
        ("all-reduce", "torus-2d", {"columns": 5}, "columns = 5 does not divide 6"),
        (
            "all-reduce",
            "multi-ring",
            {"num_rings": 0},
            "takes at least one ring, not 0",
        ),
        ("all-reduce", "multi-ring", {"orders": ((0, 1),)}, "each of 6 ranks once"),
        ("broadcast", "chain", {"root": 6}, "root 6 is none of 6 ranks"),
        ("push", "sharded", {"num_servers": 0}, "takes at least one server, not 0"),
        (
            *("pull", "sharded", {"num_servers": 7, "is_colocated": True}),
            "7 servers do not fit on 6 workers",
        ),
        (
            "neighbour-exchange",
            "direct",
            {"pairs": ((1, 1),)},
            "pair (1, 1) is not two",
        ),
    ],
)
def test_what_cannot_be_done_says_why(pattern, name, options, message):
    row = TABLE[pattern, name]
    assert message in row.allows(6, Options(**options))
    with pytest.raises(ValueError, match=f"{pattern} by {name}: "):
        row.rounds(6, 1.0, Options(**options))


def test_no_ranks_are_too_few():
    messages = {row.allows(0) for row in TABLE.values()}
    assert {"takes at least one rank, not 0"} == messages


def test_the_table_loads_without_numerics():
    program = (
        "import sys; from simulator.collectives.table import TABLE;"
        "TABLE['all-reduce', 'ring'].time(1.0, 8, 1.0, 1.0);"
        "print('numpy' in sys.modules)"
    )
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert process.stdout == "False\n"
