"""How properties are tested: the same examples every time, however slow the machine."""

from hypothesis import settings

settings.register_profile("rehearsal", derandomize=True, deadline=None)
settings.load_profile("rehearsal")
