"""Tests that need torch: skipped without it, on one thread."""

import sys

import pytest

from calibration.torch_engine.errors import has_torch

# Where torch is missing, Python takes this folder for it, as `tests` is on its path.
if not has_torch():
    sys.modules["torch"] = None


@pytest.fixture(autouse=True)
def _one_thread():
    import torch  # noqa: PLC0415 - it may be missing

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
