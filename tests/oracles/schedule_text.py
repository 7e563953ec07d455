"""Schedules as text, one line a rank: what is read by eye, and read back."""

from simulator.lowering.schedules.actions import Action


def written(rows):
    return "\n".join(",".join(map(str, row)) for row in rows) + "\n"


def read(text):
    return tuple(
        tuple(Action.parse(word) for word in line.split(","))
        for line in text.splitlines()
    )
