"""Tests that need torch run on one thread; without torch they are skipped."""

import sys
from importlib.util import find_spec

import pytest

# Where torch is missing, Python takes this folder for it, as `tests` is on its path.
_FOUND = find_spec("torch")
if _FOUND is None or _FOUND.origin is None:
    sys.modules["torch"] = None


@pytest.fixture(autouse=True)
def _one_thread():
    import torch  # noqa: PLC0415 - it may be missing

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
