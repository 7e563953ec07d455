"""No prediction moves without an explanation."""

import pytest

from tests.golden.predictions import committed, predicted

EXPLAIN = (
    "a headline number moved. If that is meant, say why under Predictions in"
    " CHANGELOG.md, and run `python -m tests.golden`"
)


@pytest.mark.parametrize("entry", committed(), ids=lambda entry: entry["name"])
def test_no_prediction_moves_silently(entry):
    for name, value in predicted(entry).items():
        expected = entry[name]
        if isinstance(value, float):
            # Last bits may differ between machines; what a person reads may not.
            assert value == pytest.approx(expected, rel=1e-6, abs=1e-12), EXPLAIN
        else:
            assert value == expected, EXPLAIN
