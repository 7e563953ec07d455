"""Schedules as workloads, and what the papers say of their time and memory."""

from simulator.lowering.schedules.actions import Action
from simulator.pricing.price import Price
from simulator.workload import Body, Op, Role, Workload


def workload(rows, times, transfer=0.0, pairs=None):
    """Return the ops of a schedule and their prices.

    Args:
        rows: of the schedule.
        times: of its passes, by kind [s].
        transfer: from a rank to another; passes go on meanwhile [s].
        pairs: passes that are one op, as long as both: backward by forward.
    """
    pairs = pairs or {}
    places = {action: rank for rank, row in enumerate(rows) for action in row}
    times = {"B": times["I"] + times["W"], "send": transfer, **times}
    times["pair"] = times["F"] + times["B"]
    bodies = {kind: Body(kind, "forward", ()) for kind in times}
    prices = {bodies[k]: Price(time, time, 0.0, time, 0.0) for k, time in times.items()}
    sent = {
        before
        for action, rank in places.items()
        for before in needed(action, places)
        if places[before] != rank
    }
    drafts = []  # name, rank, stream, body, names before
    joined = {backward: forward for forward, backward in pairs.items()}
    for action, rank in places.items():
        if action in joined:
            continue
        both = [action, pairs[action]] if action in pairs else [action]
        before = [
            ("send", other) if places[other] != rank else other
            for one in both
            for other in needed(one, places)
        ]
        kind = "pair" if action in pairs else action.kind
        drafts.append((action, rank, "compute", bodies[kind], before))
        for one in both:
            if one in sent:
                stream = "send-forward" if one.kind == "F" else "send-backward"
                name = ("send", one)
                drafts.append((name, rank, stream, bodies["send"], [action]))
    index = {draft[0]: i for i, draft in enumerate(drafts)}
    index |= {backward: index[forward] for backward, forward in joined.items()}
    ops = tuple(
        Op(str(name), (rank,), stream, body, tuple(index[b] for b in before), False)
        for name, rank, stream, body, before in drafts
    )
    roles = tuple(Role(0, rank, 0, 1) for rank in range(len(rows)))
    return Workload(roles, ops), prices


def needed(action, known):
    """The passes that a pass waits for, of those there are."""
    stage, kind, number = action
    if kind == "F":
        wanted = [Action(stage - 1, "F", number)]
    elif kind == "W":
        wanted = [Action(stage, "I", number)]
    else:
        wanted = [
            Action(stage, "F", number),
            Action(stage + 1, "I", number),
            Action(stage + 1, "B", number),
        ]
    return [other for other in wanted if other in known]


def bubble(name, pipeline, microbatches, chunks, times):
    """What a rank waits, by the papers; None where they have no closed form.

    The first three from the begin of the step to its end; the others from a rank's
    first pass to its last, for the rank that takes longest. Times are of a whole rank,
    W is no longer than F and I, and I no longer than F.
    """
    p, m, v = pipeline, microbatches, chunks
    forward, inputs, weights = times["F"], times["I"], times["W"]
    both = forward + inputs + weights
    if name in {"gpipe", "1f1b"}:  # arXiv:1811.06965, section 2.3
        return (p - 1) * both
    if name == "interleaved":  # arXiv:2104.04473, section 2.2
        return (p - 1) * both / v
    if name == "zb-h1":  # arXiv:2401.10241, table 2; of few micro-batches, derived
        return (p - 1) * (forward + inputs - weights) + max(p - m, 0) * weights
    if name == "zb-h2":  # the same
        rest = max(2 * p - 1 - m, 0) * weights
        return max(0.0, (p - 1) * (forward + inputs - 2 * weights) + rest)
    if name == "zb-v" and forward == inputs == weights:
        return 0.0
    if name == "dualpipe":
        # arXiv:2412.19437, table 2, has (p / 2 - 1) (F + I + W + B - 3 W), B = I + W,
        # for a forward and a backward that begin and end together; apart, I less. A
        # forward that is longer than a whole backward is waited for in its place.
        return (p // 2 - 1) * (forward + max(forward, inputs + weights) - 2 * weights)
    return None


def depth(name, rank, pipeline, microbatches, chunks):
    """The most chunks whose activations a rank keeps; None if it depends on times."""
    p, m, v = pipeline, microbatches, chunks
    if name == "gpipe":
        return m
    if name == "1f1b":
        return min(m, p - rank)
    if name == "interleaved":
        whole = m * v
        warm_up = 2 * (p - rank - 1) + (v - 1) * p + 1
        return whole if m == p else min(whole, warm_up)
    if name == "zb-h1":
        return min(m, p)
    if name == "zb-h2":
        return min(m, 2 * p - 1)
    if name == "zb-v":
        return 2 * p
    if name == "dualpipe":
        return p + 1
    return None
