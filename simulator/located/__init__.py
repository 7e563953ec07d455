"""A workload on a graph: where its messages are sent, and what else is on the way.

From `mesh` (which devices send?) over `carrier` (in which order, by which algorithm,
over which links?) and `locate` (every message of a step at its place) to `contention`
(the step among others).
"""
