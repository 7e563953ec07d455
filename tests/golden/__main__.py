"""`python -m tests.golden` writes `predictions.toml` anew."""

from tests.golden.predictions import FILE, write

write()
print(f"wrote {FILE}")  # noqa: T201 - a command
