"""How fast are kernels, where a plan says what one device alone was measured to take?

The measured step is shared among layers and passes as they are priced, so that it has
to be right only as a whole; what remains to be predicted is how it scales.

Limits: the host's part of the measured step is taken to grow and shrink with the
kernels. What the one device pulled from its own host before it began is taken out of
the measured step; what it pushed is taken to have been hidden.
"""

from __future__ import annotations

from dataclasses import replace

from models.work import Share, memory_work
from simulator.costs.servers import host_copy_time
from simulator.errors import Fault, PlanError
from simulator.lowering.formats import element_bytes, optimizer_traffic
from simulator.lowering.staged import make_share, plan_passes
from simulator.plan import Plan
from simulator.pricing.pricer import Pricer
from topologies.units import Ratio, Seconds


def paced(plan: Plan, pricer: Pricer) -> Pricer:
    """Return the pricer at the pace of the plan's measured step, if it has one.

    pace = (measured - pulled before) · crowding / priced, with crowding where a node
    has others.

    Raises:
        PlanError: the pull alone takes longer than was measured.
    """
    measured = plan.device_step
    if measured is None:
        return pricer
    is_crowded = plan.cluster.devices_per_node > 1
    crowding: Ratio = measured.crowding if is_crowded else 1.0
    hostless = replace(
        pricer.profile,
        host_forward=0.0,
        host_backward=0.0,
        host_pass=0.0,
        host_step=0.0,
    )
    time = measured.time - _pulled_before(plan, pricer)
    if time <= 0:
        problem = "is less than one device's pull of all parameters takes"
        raise PlanError([Fault("device_step.time", problem)])
    pace = time * crowding / priced_step(plan, pricer)
    return replace(pricer, profile=hostless, pace=pace)


def _pulled_before(plan: Plan, pricer: Pricer) -> Seconds:
    """Return how long one device alone pulls from its host before its forward."""
    sync, servers = plan.synchronization, pricer.servers
    if servers is None or sync.sum_on == "device" or sync.pull != "before-forward":
        return 0.0
    size = element_bytes(plan.training.precision) * plan.build_model().parameters
    host = pricer.profile.host
    return host_copy_time(size, 1, host.device, host.root)


def priced_step(plan: Plan, pricer: Pricer) -> Seconds:
    """Return the device time of one micro-batch and an update on one device.

    T = Σ over layers (forward + backward) + optimizer
    """
    whole = make_share(plan)
    share = Share(plan.batch.micro, element=whole.element, gradient=whole.gradient)
    model = plan.build_model()
    passes = {layer: plan_passes(plan, layer, share) for layer in set(model.layers)}
    times = {
        layer: pricer.items(own.forward, "forward").busy
        + pricer.items(own.backward, "backward").busy
        for layer, own in passes.items()
    }
    training = plan.training
    traffic = optimizer_traffic(
        training.optimizer, training.precision, training.gradient_precision
    )
    update = pricer.kernel_time(memory_work("optimizer", traffic * model.parameters))
    return sum(times[layer] for layer in model.layers) + update
