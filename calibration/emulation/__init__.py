"""A cluster's network emulated on one machine, with real processes and real TCP.

Every host and switch of a graph is a network namespace, every cable a pair of virtual
interfaces whose two directions are shaped to the cable's bandwidth. No root is needed.
"""
