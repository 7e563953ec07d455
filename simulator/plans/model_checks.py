"""Whether the model of a plan can be built: one source, and dimensions that agree."""

from __future__ import annotations

from collections.abc import Iterator

from models import catalogue as networks
from simulator.errors import Fault
from simulator.plans.building import build_model
from simulator.plans.fields import shown
from simulator.plans.hints import choices
from simulator.plans.model_records import ModelSection

_SHAPE = ("layers", "hidden", "heads", "sequence_length", "vocabulary")
_NEEDED = {
    "gpt": _SHAPE,
    "bert": _SHAPE,
    "llama": (*_SHAPE, "feed_forward"),
    "mlp": ("widths",),
    "lstm": ("layers", "hidden", "sequence_length", "vocabulary"),
}


def model_faults(model: ModelSection) -> Iterator[Fault]:
    """Yield what keeps the model from being built."""
    sources = [name for name in ("name", "family", "file") if getattr(model, name)]
    if len(sources) > 1:
        problem = f"both a {sources[0]} and a {sources[1]} are given"
        second = (f"model.{sources[1]}",)
        yield Fault("model", problem, "keep one of the two", involves=second)
    elif model.family:
        yield from _family_faults(model, model.family)
    elif model.file:
        yield from _dimension_faults(model)
    elif not model.name:
        problem = "needs a name, or a family with its dimensions"
        remedy = 'add name = "gpt3-175b"; `simulate list models` lists all'
        yield Fault("model", problem, remedy)
    elif model.name in networks.FAMILIES:
        problem = f"'{model.name}' is a family, not a published model"
        yield Fault("model.name", problem, f'write family = "{model.name}"')
    elif model.name not in networks.names():
        remedy = choices(model.name, networks.names(), "`simulate list models`")
        yield Fault("model.name", f"unknown model {shown(model.name)}", remedy)
    else:
        yield from _dimension_faults(model)


def _family_faults(model: ModelSection, family: str) -> Iterator[Fault]:
    needed = _NEEDED[family]
    lacking = [name for name in needed if getattr(model, name) is None]
    if lacking:
        problem = f"the {family} family needs {', '.join(needed)}"
        remedy = f"add {', '.join(lacking)}"
        yield Fault("model.family", problem, remedy)
    else:
        yield from _dimension_faults(model)


def _dimension_faults(model: ModelSection) -> Iterator[Fault]:
    """Yield what the model's builder refuses; it names the dimension first."""
    try:
        build_model(model)
    except ValueError as error:
        name, colon, problem = str(error).partition(": ")
        if colon and name in ModelSection.model_fields:
            source = ("model.name", "model.family", "model.file")
            yield Fault(f"model.{name}", problem, involves=source)
        else:
            yield Fault("model", str(error), involves=("model.name", "model.family"))
