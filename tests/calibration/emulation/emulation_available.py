"""Whether this machine can emulate a network: a mark for tests that need one."""

import pytest

from calibration.emulation.machine import abilities

WHY_NOT = abilities().reason or (
    "" if abilities().has_fair else "its kernel has no htb or u32"
)
needs_emulation = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "it can")
