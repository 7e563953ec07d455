"""Tasks for ranks, and which processes there are."""

import os
import signal
import time
from pathlib import Path

import torch
import torch.distributed as dist

from calibration.torch_engine.seats import seats
from calibration.torch_engine.training import train
from calibration.torch_engine.world import World


def launch(task, number, **options):
    """Return what a task returns on each rank of a world of its own."""
    with World(seats(number), **options) as world:
        return world.run(task)


def sum_of_ranks(member):
    value = torch.tensor(float(member.rank))
    dist.all_reduce(value)
    return value


def kill_one(member, victim=0):
    member.tell("step 3")
    if member.rank == victim:
        os.kill(os.getpid(), signal.SIGKILL)
    return sum_of_ranks(member)


def train_without(member, task, victim):
    if member.rank == victim:
        os.kill(os.getpid(), signal.SIGKILL)
    return train(task, member)


def raise_on_one(member, victim):
    if member.rank == victim:
        raise ValueError("the third layer has no weight")
    return sum_of_ranks(member)


def hang_one(member, victim):
    member.tell("step 2")
    if member.rank == victim:
        time.sleep(60)
    return sum_of_ranks(member)


def stop_one(member, victim):
    if member.rank == victim:
        os.kill(os.getpid(), signal.SIGSTOP)
    return sum_of_ranks(member)


def sleep_all(member):
    time.sleep(60)


def network_namespace(member):
    return str(Path("/proc/self/ns/net").readlink())


def children(process="self"):
    """Return all processes that descend from a process."""
    found = set()
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        for child in path.read_text().split():
            found |= {int(child)} | children(child)
    return found
