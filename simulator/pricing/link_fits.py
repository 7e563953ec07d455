"""What is a link worth under a profile: its protocols, latencies and long messages?"""

from __future__ import annotations

from dataclasses import replace

from simulator.costs.elementwise import maximum, minimum
from topologies.hardware import Link
from topologies.profile import LinkFit, Profile
from topologies.units import BytesPerSecond


def link_fit(link: Link, profile: Profile) -> LinkFit:
    """Return the profile's fit of a link, or its data sheet where there is none.

    A plan's own latency replaces the sheet's: a fit's times move by the difference.
    """
    fitted = profile.links.get(link.name)
    if fitted is None:
        latency = link.latency
        return LinkFit(
            efficiency=link.efficiency, start=latency, hop=latency, transfer=latency
        )
    return _moved(fitted, link)


def link_fits(link: Link, profile: Profile) -> list[LinkFit]:
    """Return what `link_fit` does, and the fits of the link's further protocols."""
    further = (
        _moved(fit, link)
        for name, fit in profile.links.items()
        if name.startswith(f"{link.name}.")
    )
    return [link_fit(link, profile), *further]


def adapter_rate(link: Link, profile: Profile) -> BytesPerSecond:
    """Return what one adapter gives a long message, its host's copying included."""
    return minimum(long_rate(link_fit(link, profile), link), link.copy_rate)


def long_rate(fit: LinkFit, link: Link) -> BytesPerSecond:
    """Return what one adapter gives a long message.

    min(efficiency · bandwidth, window / latency): no more than a window of bytes may
    be under way.
    """
    rate = fit.efficiency * link.bandwidth
    if fit.window == float("inf"):
        return rate
    return minimum(rate, fit.window / link.latency) if link.latency else rate


def _moved(fitted: LinkFit, link: Link) -> LinkFit:
    """Return a fit whose times have moved with the plan's own latency.

    In a stream the messages of a collective follow each other without waiting to
    arrive, so that the latency is waited for at its start, and not in its steps.
    """
    transfer = maximum(fitted.transfer + link.moved, 0.0)
    if fitted.waits:
        start = fitted.start + fitted.waits * link.latency
        return replace(fitted, start=start, transfer=transfer)
    return replace(
        fitted,
        start=maximum(fitted.start + link.moved, 0.0),
        hop=maximum(fitted.hop + link.moved, 0.0),
        transfer=transfer,
    )
