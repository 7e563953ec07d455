"""Small plans, and worlds that run several of them."""

import tomllib
from contextlib import ExitStack
from functools import partial

from calibration.torch_engine.reference import reference
from calibration.torch_engine.seats import seats
from calibration.torch_engine.serving.places import num_processes
from calibration.torch_engine.task import assign
from calibration.torch_engine.training import train
from calibration.torch_engine.world import World
from simulator.job import prepare
from simulator.plan import Plan

TRAINING = """
[training]
precision = "fp32"
optimizer = "momentum"
framework = "torch"
[cluster]
device = "v100"
nodes = 1
devices_per_node = 2
fabric = "nvlink-2"
"""

MLP = f"""
[model]
family = "mlp"
widths = [16, 32, 32, 32, 10]
[batch]
global = 16
micro = 2
{TRAINING}
"""

GPT = f"""
[model]
family = "gpt"
layers = 4
hidden = 32
heads = 4
sequence_length = 8
vocabulary = 64
[batch]
global = 8
micro = 1
{TRAINING}
"""

LLAMA = f"""
[model]
family = "llama"
layers = 2
hidden = 32
heads = 4
kv_heads = 2
feed_forward = 48
sequence_length = 8
vocabulary = 64
[batch]
global = 8
micro = 2
{TRAINING}
"""


MIXTURE = f"""
[model]
family = "llama"
layers = 2
hidden = 32
heads = 4
feed_forward = 48
sequence_length = 8
vocabulary = 64
experts = 4
top_k = 2
expert_feed_forward = 16
[batch]
global = 8
micro = 1
{TRAINING}
"""


def plan_of(text, **changes):
    """Return a plan with changes by section and key, such as parallelism__tensor."""
    keys = {key.replace("__", "."): value for key, value in changes.items()}
    return Plan.from_mapping(tomllib.loads(text)).replace(keys)


class Worlds:
    """Worlds by size, started at the first use and kept."""

    def __init__(self):
        self._stack = ExitStack()
        self._started = {}
        self._learnt = {}

    def run(self, task, size):
        world = self._started.get(size)
        if world is None or not world.processes:
            world = self._stack.enter_context(World(seats(size)))
            self._started[size] = world
        return world.run(task)

    def trained(self, plan):
        """Return what all ranks report of a plan, and what it should have learnt."""
        task = assign(prepare(plan), warm_up=2, steps=1, keeps_parameters=True)
        reports = self.run(partial(train, task), num_processes(plan))
        return reports, self._right(task)

    def _right(self, task):
        """Return what one process learns; splits of one model share the answer."""
        plan = task.plan
        rules = plan.parallelism.layers
        changes = [rule.updates for rule in rules if rule.updates == "each-portion"]
        own = (plan.parallelism.data, rules) if changes else ()
        key = repr((plan.model, plan.batch, plan.training, own))
        if key not in self._learnt:
            (self._learnt[key],) = self.run(partial(reference, task), 1)
        return self._learnt[key]

    def close(self):
        self._stack.close()
