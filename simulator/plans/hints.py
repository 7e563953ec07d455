"""Which name was meant by one that is not known: the nearest, or another's for it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from functools import cache

from simulator.errors import Fault
from simulator.plans.fields import shown
from simulator.plans.places import key_path
from simulator.plans.records import ARRAYS, SECTIONS, keys_in, plan_keys, table_of
from simulator.plans.synonyms import advice_on, key_of

MOST_LISTED = 12
_LONG_ENOUGH = 4  # letters: shorter names are near to too many


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the name in `known` that `word` was most likely meant to be."""
    spelled = {folded_name(name): name for name in known}
    wanted = folded_name(word)
    if wanted in spelled:
        return spelled[wanted]
    if len(wanted) >= 3 and (begun := [n for n in spelled if n.startswith(wanted)]):
        return spelled[min(begun, key=len)]
    near = difflib.get_close_matches(wanted, spelled, n=1, cutoff=0.6)
    return spelled[near[0]] if near else None


def folded_name(name: str) -> str:
    """Return a name without what people write differently."""
    return "-".join(name.lower().replace("_", " ").split())


def choices(
    word: str, known: Sequence[str], more: str = "", near: str | None = None
) -> str:
    """Return the remedy for the unknown name `word`: the nearest, and the allowed.

    Args:
        word: that is not known.
        known: names that are; a long list is cut.
        more: where the rest of a long list is.
        near: that was meant, if it is known.
    """
    near = near or nearest(word, known)
    guess = f"did you mean '{near}'? " if near else ""
    listed = ", ".join(known[:MOST_LISTED])
    if len(known) > MOST_LISTED:
        listed = more or f"{listed}, ..."
    return f"{guess}allowed: {listed}"


def joined(*parts: str | int) -> str:
    """Return the dotted key of a path; indices stand in brackets."""
    key = ""
    for part in parts:
        if isinstance(part, int):
            key += f"[{part}]"
        elif part:
            bare = part.replace("-", "").replace("_", "")
            name = part if bare.isascii() and bare.isalnum() else shown(part)
            key += f".{name}" if key else name
    return key


def unknown_key(table: str, name: str) -> Fault:
    """Return the fault of a key that `table` does not have."""
    known = keys_in(table)
    problem = f"unknown key {shown(name)}"
    key = joined(*key_path(table), name)
    if remedy := advice_on(name):
        return Fault(key, problem, remedy)
    meant = meant_key(table, name)
    owner, _, own = (meant or "").rpartition(".")
    if meant is None or owner == table_of(table):
        return Fault(key, problem, choices(name, known, near=own))
    if meant in SECTIONS:
        return Fault(key, problem, f"did you mean [{meant}]?")
    if own == name:
        where = f"[[{owner}]]" if owner in ARRAYS else f"[{owner}]"
        return Fault(key, problem, f"it belongs in {where}")
    return Fault(key, problem, f"did you mean {meant}?")


def unknown_path(key: str) -> Fault:
    """Return the fault of a dotted key that no plan has."""
    if key in SECTIONS:
        listed = ", ".join(f"{key}.{name}" for name in keys_in(key)[:2])
        return Fault(key, "is a table", f"write one of its keys: {listed}, ...")
    table, _, name = key.rpartition(".")
    known = table if table in SECTIONS else ""
    remedy = choices(key, plan_keys(), "`simulate schema`")
    if said := advice_on(name):
        remedy = said
    elif meant := meant_key(known, name):
        remedy = f"did you mean {meant}?"
    return Fault(key, f"unknown key {shown(key)}", remedy)


def meant_key(table: str, name: str) -> str | None:
    """Return the dotted key that was likely meant by a name that `table` has not.

    What others call so; else the same of another table; else the nearest, of this
    table if there is one.
    """
    if key := key_of(name):
        return key
    if len(name) > 1:
        for other in SECTIONS:
            if name in keys_in(other):
                return f"{other}.{name}"
    table = table_of(table)
    if near := nearest(name, keys_in(table)):
        return f"{table}.{near}" if table else near
    if len(name) < _LONG_ENOUGH or not name.isidentifier():
        return None
    near = nearest(name, _last_parts())
    return _last_parts()[near] if near else None


@cache
def _last_parts() -> dict[str, str]:
    """Return the dotted keys of a plan by their last part, of several the first."""
    return {key.rpartition(".")[2]: key for key in reversed(plan_keys())}


def renamed(table: str, loc: tuple[int | str, ...]) -> str | None:
    """Return the key that an unknown one was likely meant for, as it would stand."""
    owner = joined(*table.split("."), *loc[:-1])
    meant = meant_key(owner, str(loc[-1]))
    table, _, name = (meant or "").rpartition(".")
    return f"{owner}.{name}" if table == table_of(owner) else meant
