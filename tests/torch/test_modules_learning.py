"""Small networks of every kind learn a batch by heart: their wires are connected."""

import pytest

torch = pytest.importorskip("torch")

from calibration.modules import build, example_batch, loss  # noqa: E402
from models.autoencoder import Stack, locally_connected  # noqa: E402
from models.catalogue import build as table  # noqa: E402
from models.convolutional import lenet5, unet  # noqa: E402
from models.convolutional.blocks import Maps  # noqa: E402
from models.lstm import LstmShape, lstm  # noqa: E402
from models.operators import Window  # noqa: E402
from models.recommendation import Dlrm, dlrm  # noqa: E402

TOKENS = {
    "layers": 1,
    "hidden": 16,
    "heads": 4,
    "sequence_length": 8,
    "vocabulary": 16,
}
SMALL_STACK = Stack(4, Window(5), Window(3))
MODELS = {
    "mlp": lambda: table("mlp", {"widths": [8, 16, 4]}),
    "gpt": lambda: table("gpt", TOKENS),
    "bert": lambda: table("bert", TOKENS),
    "llama": lambda: table("llama", TOKENS | {"feed_forward": 24}),
    "experts": lambda: table(
        "llama", TOKENS | {"feed_forward": 24, "experts": 4, "top_k": 2}
    ),
    "lenet": lenet5,
    "alexnet": lambda: table("alexnet", {"image": 64, "thinning": 16}),
    "vgg": lambda: table("vgg11", {"image": 32, "thinning": 16}),
    "resnet": lambda: table("resnet18", {"image": 64, "thinning": 16}),
    "bottlenecks": lambda: table("resnet50", {"image": 64, "thinning": 16}),
    "unet": lambda: unet(1, 2),
    "lstm": lambda: lstm("small", LstmShape(2, 16, 8, 16)),
    "lstm of a whole sequence": lambda: lstm(
        "small", LstmShape(2, 16, 8, 16, embedding=8, classes=3)
    ),
    "recommendation": lambda: dlrm("small", Dlrm((10, 20), (4, 8, 8), (16, 1), 2)),
    "locally connected": lambda: locally_connected(
        "small", Maps(3, 20, 20), (SMALL_STACK, SMALL_STACK)
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_small_network_learns_a_batch(name):
    model = MODELS[name]()
    network = build(model)
    inputs, targets = example_batch(model, 4)
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    losses = []
    for _ in range(8):
        value = loss(model)(network(*inputs), targets)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    lacking = [key for key, p in network.named_parameters() if p.grad is None]
    assert lacking == []
    assert losses[-1] < losses[0]
