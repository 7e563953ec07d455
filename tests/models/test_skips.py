"""What crosses a cut of a network with skip connections."""

from itertools import pairwise

import pytest

from models.catalogue import build
from models.work import Share
from simulator.lowering.kept import kept_bytes

# Layers as torchgpipe balances them: benchmarks/*/main.py.
BALANCES = {
    "unet-5-64": [16, 27, 31, 44, 22, 57, 27, 17],
    "unet-11-128": [505],
    "unet-24-128": [526, 551],
    "unet-24-160": [472, 54, 36, 515],
    "unet-48-160": [800, 140, 62, 36, 36, 36, 36, 987],
    "amoebanet-d-18-256": [2, 2, 2, 2, 2, 3, 4, 7],
    "amoebanet-d-18-544": [16, 8],
    "amoebanet-d-36-544": [16, 12, 7, 7],
    "amoebanet-d-72-512": [23, 16, 11, 6, 6, 5, 5, 6],
}


@pytest.mark.parametrize(("name", "balance"), BALANCES.items())
def test_layers_are_those_that_torchgpipe_balances(name, balance):
    assert sum(balance) == len(build(name).layers)


def read(layer):
    """The elements that a convolution reads, or None."""
    first = layer.operators[0]
    return getattr(first, "inputs", None)


def test_a_cut_of_the_unet_carries_the_main_path_and_all_live_skips():
    layers = build("unet-5-64").layers
    # A skip of level i has 64 · 2^i maps, 192 / 2^i pixels high and wide.
    sizes = [64 * 2**level * (192 // 2**level) ** 2 for level in range(5)]
    live = 0
    for layer, after in pairwise(layers):
        if layer.name == "skip":
            live += sizes.pop(0)
        if after.name.endswith("conv") and layer.name != "concatenation" and sizes:
            assert read(after) + live == layer.output_elements
    assert sizes == []


def test_recomputation_keeps_the_main_path_and_no_skip_again():
    """A skip is the input of the layer that stores it; those behind only pass it by.

    Elements of 2 bytes, those that the next convolution reads.
    """
    layers = build("unet-5-64").layers
    share = Share(samples=1)
    checked = [
        (2 * read(after), kept_bytes(layer, share, "full"))
        for layer, after in pairwise(layers)
        if after.name.endswith("conv")
    ]
    assert len(checked) > 50
    for expected, kept in checked:
        assert kept == pytest.approx(expected, rel=1e-12)


def test_the_unets_decoder_uses_up_its_skips():
    layers = build("unet-5-64").layers
    joined = [layer for layer in layers if layer.name == "concatenation"]
    readers = [
        after for layer, after in pairwise(layers) if layer.name == "concatenation"
    ]
    sizes = [64 * 2**level * (192 // 2**level) ** 2 for level in range(5)]
    # The deepest decoder comes first: all shallower skips are live behind it.
    live = [sum(sizes[:level]) for level in reversed(range(5))]
    assert [read(each) for each in readers] == [
        layer.output_elements - skips for layer, skips in zip(joined, live, strict=True)
    ]
    assert layers[-1].output_elements == 192 * 192


def test_a_cut_of_amoebanet_carries_two_outputs():
    layers = build("amoebanet-d-18-256").layers
    stem = layers[0].output_elements
    assert stem == 64 * 112**2
    # Reductions join three states and normal cells four; D / 4 = 64 channels double
    # with every reduction.
    outputs = [stem, 3 * 128 * 56**2, 3 * 256 * 28**2, *[4 * 256 * 28**2] * 6]
    outputs += [3 * 512 * 14**2, *[4 * 512 * 14**2] * 6]
    outputs += [3 * 1024 * 7**2, *[4 * 1024 * 7**2] * 6]
    expected = [stem, *(before + output for before, output in pairwise(outputs))]
    assert [*expected, 1000] == [layer.output_elements for layer in layers]
