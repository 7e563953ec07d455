"""Collectives for real: the sends that the simulator prices, with tensors in them.

There is no algorithm here. `simulator.collectives.TABLE` says who sends which blocks
to whom; `carry_out` makes them point-to-point operations of torch, and `patterns` says
where the blocks of each pattern begin and end.
"""

from calibration.torch_engine.collectives.carrying import carry_out
from calibration.torch_engine.collectives.parts import Part, Turn, own_part, turns
from calibration.torch_engine.collectives.patterns import perform
from calibration.torch_engine.collectives.peers import Peers

__all__ = ["Part", "Peers", "Turn", "carry_out", "own_part", "perform", "turns"]
