"""How the keys of a plan of one collective have to fit together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import get_args

from simulator.collectives.algorithm import Pattern
from simulator.collectives.options import Options
from simulator.collectives.table import TABLE
from simulator.errors import Fault
from simulator.plans.building import build_cluster
from simulator.plans.checks import faults_between
from simulator.plans.fields import shown
from simulator.plans.hints import choices
from simulator.plans.network_records import ClusterSection
from simulator.plans.node_checks import order_faults
from simulator.plans.records import CollectiveSection
from simulator.plans.section import Section
from simulator.pricing.choice import AUTO, candidates
from simulator.pricing.link_fits import link_fits
from topologies.profile_file import load_profile

_JOIN = "+"


def collective_faults(sections: Mapping[str, Section | str]) -> list[Fault]:
    """Return what does not fit in a plan of one collective, all at once."""
    cluster, collective = sections["cluster"], sections["collective"]
    assert isinstance(cluster, ClusterSection)
    assert isinstance(collective, CollectiveSection)
    found = faults_between({"cluster": cluster})
    found += _name_faults(collective)
    if not found:
        found += _rank_faults(collective, cluster)
        found += _order_faults(collective, cluster)
        found += _protocol_faults(collective, cluster)
    return found


def parts(collective: CollectiveSection) -> list[tuple[Pattern, str]]:
    """Return the patterns that run in a row, each with its algorithm."""
    patterns = _words(collective.pattern)
    algorithms = _words(collective.algorithm)
    if algorithms == [AUTO]:
        algorithms *= len(patterns)
    return list(zip(patterns, algorithms, strict=True))  # type: ignore[arg-type]  # checked


def options_of(collective: CollectiveSection, cluster: ClusterSection) -> Options:
    """Return the choices within algorithms that a plan makes."""
    per_node = cluster.devices_per_node
    ranks = collective.ranks or cluster.num_devices
    return Options(
        per_node=per_node if ranks % per_node == 0 else 1,
        num_servers=collective.servers,
        is_colocated=True,
    )


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(_JOIN)]


def _name_faults(collective: CollectiveSection) -> Iterator[Fault]:
    patterns, algorithms = _words(collective.pattern), _words(collective.algorithm)
    known = get_args(Pattern)
    wrong = [pattern for pattern in patterns if pattern not in known]
    for pattern in wrong:
        remedy = choices(pattern, known)
        yield Fault("collective.pattern", f"unknown pattern {shown(pattern)}", remedy)
    if wrong or algorithms == [AUTO]:
        return
    if len(algorithms) != len(patterns):
        problem = f"names {len(algorithms)} for {len(patterns)} patterns"
        remedy = "join one for each by ' + ', or leave it out"
        yield Fault("collective.algorithm", problem, remedy)
        return
    for pattern, algorithm in zip(patterns, algorithms, strict=True):
        names = [AUTO, *(name for kind, name in TABLE if kind == pattern)]
        if algorithm not in names:
            problem = f"no {pattern} is called {shown(algorithm)}"
            yield Fault("collective.algorithm", problem, choices(algorithm, names))


def _rank_faults(
    collective: CollectiveSection, cluster: ClusterSection
) -> Iterator[Fault]:
    devices = cluster.num_devices
    ranks = collective.ranks or devices
    if ranks > devices:
        problem = f"{ranks} ranks on {devices} devices"
        yield Fault("collective.ranks", problem, "add nodes, or take fewer ranks")
        return
    if (collective.servers or 0) > ranks:
        problem = f"{collective.servers} servers on {ranks} ranks"
        yield Fault("collective.servers", problem, "servers are on ranks")
        return
    options = options_of(collective, cluster)
    for pattern, algorithm in parts(collective):
        rows = candidates(pattern, algorithm)
        why = [row.allows(ranks, options) for row in rows]
        if all(why):
            yield Fault("collective.algorithm", why[0], "write another, or auto")


def _order_faults(
    collective: CollectiveSection, cluster: ClusterSection
) -> Iterator[Fault]:
    order = collective.ring_order
    if order != "auto" and not cluster.has_graph:
        problem = 'changes nothing: on a "switch" every pair has a path of its own'
        involves = ("cluster.network.topology",)
        yield Fault("collective.ring_order", problem, "take it out", involves=involves)
    yield from order_faults(order, cluster.nodes, "collective")


def _protocol_faults(
    collective: CollectiveSection, cluster: ClusterSection
) -> Iterator[Fault]:
    if collective.protocol is None:
        return
    built = build_cluster(cluster)
    profile = load_profile(cluster.profile or built.device.profile)
    ranks = collective.ranks or cluster.num_devices
    link = built.network if ranks > cluster.devices_per_node else built.fabric
    known = [fit.protocol for fit in link_fits(link, profile)]
    if cluster.has_graph and collective.protocol in known[1:]:
        problem = f"on a graph {link.name} has its first protocol, {known[0]}, only"
        yield Fault("collective.protocol", problem, "take it out")
    if collective.protocol not in known:
        problem = f"{link.name} has no {shown(collective.protocol)} in this profile"
        remedy = choices(collective.protocol, known)
        yield Fault("collective.protocol", problem, remedy)
