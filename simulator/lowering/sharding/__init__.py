"""States divided among replicas: ZeRO-1, 2 and 3, FSDP, and hybrid sharding.

`rule` says what a plan asks for, `units` cuts a stage into what is gathered or reduced
at once, `visits` says when that happens along a rank's schedule, and `emission` writes
it as ops. Memory reads the same visits.
"""
