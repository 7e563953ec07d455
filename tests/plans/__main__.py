"""`python -m tests.plans` writes the expected output of every example plan anew."""

from tests.plans.outcomes import EXPECTED, file_of, outcome, plans

EXPECTED.mkdir(exist_ok=True)
for plan in plans():
    file_of(plan).write_text(outcome(plan), "utf-8")
print(f"wrote {len(plans())} files in {EXPECTED}")  # noqa: T201 - a command
