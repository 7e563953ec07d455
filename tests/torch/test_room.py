"""Whether ranks fit on a machine is said before any of them starts."""

import pytest

torch = pytest.importorskip("torch")

from small_plans import MLP, plan_of  # noqa: E402
from test_verbs import called, plan_file  # noqa: E402, F401 - a fixture

from calibration.torch_engine import room  # noqa: E402
from calibration.torch_engine.forking import forking  # noqa: E402
from simulator.errors import Infeasible  # noqa: E402
from simulator.job import prepare  # noqa: E402
from simulator.memory.peak import memory  # noqa: E402

MIB = 2**20


def test_a_rank_needs_its_tensors_and_its_process():
    job = prepare(plan_of(MLP))
    parts, _ = memory(job)
    assert room.needs(job, "cpu") == parts.allocated - parts.workspace + 127 * MIB


def test_a_rank_needs_the_whole_model_before_it_has_its_share():
    """Four layers of 4096 x 4096 in fp32 are 256 MiB; a stage has half of them."""
    widths = [4096] * 5
    changes = {"parallelism__pipeline": 2, "parallelism__zero": 0}
    job = prepare(plan_of(MLP, model__widths=widths, batch__micro=1, **changes))
    whole = 4 * 4 * (4096**2 + 4096)
    assert room.needs(job, "cpu") >= whole + 127 * MIB


def test_ranks_that_do_not_fit_are_refused(capsys, plan_file, monkeypatch):  # noqa: F811
    def start(*_):
        raise AssertionError("a rank was started")

    monkeypatch.setattr(room, "free_memory", lambda: 200.0 * MIB)
    monkeypatch.setattr(type(forking()), "start", start)
    code, _, err = called(capsys, "run", plan_file)
    assert code == 3
    assert "2 ranks of 1" in err
    assert "together, and this machine has 210 MB free" in err


def test_hosts_of_servers_count(monkeypatch):
    """Two ranks and their host need more than 3 x 127 MiB."""
    served = plan_of(MLP, synchronization__scheme="parameter-server")
    monkeypatch.setattr(room, "free_memory", lambda: 3 * 127.0 * MIB)
    with pytest.raises(Infeasible, match="2 ranks"):
        room.backend_of(prepare(served), "cpu")


@pytest.mark.skipif(torch.version.cuda is not None, reason="torch has CUDA")
def test_a_torch_for_cpus_is_no_torch_for_gpus(capsys, plan_file):  # noqa: F811
    code, _, err = called(capsys, "run", plan_file, "--device", "cuda")
    assert code == 2
    assert "the torch that is installed is for CPUs only" in err


def test_ranks_that_share_a_gpu_send_by_gloo(monkeypatch):
    job = prepare(plan_of(MLP))
    for free, backend in (((1e12,), "gloo"), ((1e12, 1e12), "cuda:nccl,cpu:gloo")):
        monkeypatch.setattr(room, "free_on_devices", lambda free=free: free)
        assert room.backend_of(job, "cuda") == backend
    monkeypatch.setattr(room, "free_on_devices", lambda: (1e6,))
    with pytest.raises(Infeasible, match="a GPU has"):
        room.backend_of(job, "cuda")
