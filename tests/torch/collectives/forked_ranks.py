"""Ranks of gloo on this machine, forked from one process that has loaded torch."""

import multiprocessing
import os
import tempfile
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed

LIMIT = 60.0  # seconds; a case takes milliseconds


def on_ranks(size, work, *arguments):
    """What `work(rank, *arguments)` returns on each of `size` ranks of one group."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "simulator.collectives.table"])
    with tempfile.TemporaryDirectory() as folder:
        answers = context.Queue()
        store = str(Path(folder, "store"))
        ranks = [
            context.Process(
                target=_rank, args=(answers, store, (rank, size), work, arguments)
            )
            for rank in range(size)
        ]
        for rank in ranks:
            rank.start()
        try:
            found = dict(answers.get(timeout=LIMIT) for _ in ranks)
        finally:
            for rank in ranks:
                rank.join(1.0)
                rank.kill()
                rank.join()
    return [found[rank] for rank in range(size)]


def _rank(answers, store, place, work, arguments):
    rank, size = place
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        store=distributed.FileStore(store, size),
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=LIMIT),
    )
    answers.put((rank, work(rank, *arguments)))
    distributed.barrier()
    distributed.destroy_process_group()
