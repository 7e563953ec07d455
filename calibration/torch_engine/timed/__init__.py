"""Timed runs: a plan's messages sent for real, its kernels replaced by waiting.

The ops are those of the simulator's own workload; each rank walks its own in program
order. So 8 to 16 ranks fit on two cores, and the network is what is measured.
"""
