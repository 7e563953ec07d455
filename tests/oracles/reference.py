"""A slow, obvious simulator: what the engines must answer, with none of their code.

Every rank has lists: what its host issues, in order, and what each of its streams
runs, in order. Until nothing changes, go over all ops and write down what follows
from what is known:

    ready = latest end of what is before the op on its streams, or in its `after`
    host  = latest moment at which the hosts of its ranks reach it; a host that
            waits goes on no earlier than `ready`
    end   = latest of ready + busy and host + issued

A host that waits leaves the op at `host` plus its host time. Any other host leaves it
that much after it reached it: it does not wait for the other ranks either.
"""


def simulate(workload, prices):  # noqa: C901 - nested, to stay on one page
    """Return the end time of every op; None where it can never run."""
    ops = workload.ops
    lists = {}  # by rank, and by rank and stream: ops in order
    before = {}  # by such a list and op: the op before it there, if any
    for i, op in enumerate(ops):
        for rank in op.ranks:
            for name in (rank, (rank, op.stream)):
                program = lists.setdefault(name, [])
                before[name, i] = program[-1:]
                program.append(i)
    end = {}  # by op
    left = {}  # by rank and op: when the host is done with it

    def reached(rank, i):
        """When a host reaches op i; None if that is not known yet."""
        earlier = [left.get((rank, j)) for j in before[rank, i]]
        return earlier[0] if earlier else 0.0

    def visit(i):
        op, price = ops[i], prices[ops[i].body]
        hosts = {rank: reached(rank, i) for rank in op.ranks}
        if not op.host_waits:
            for rank, time in hosts.items():
                if time is not None:
                    left[rank, i] = time + price.host
        ahead = [j for r in op.ranks for j in before[(r, op.stream), i]]
        ends = [end.get(j) for j in (*ahead, *op.after)]
        if None in ends or None in hosts.values():
            return
        ready = max(ends, default=0.0)
        host = max(hosts.values())
        if op.host_waits:
            host = max(host, ready)
            for rank in op.ranks:
                left[rank, i] = host + price.host
        end[i] = max(ready + price.busy, host + price.issued)

    known = -1
    while known < len(end) + len(left):
        known = len(end) + len(left)
        for i in range(len(ops)):
            if i not in end:
                visit(i)
    return [end.get(i) for i in range(len(ops))]
