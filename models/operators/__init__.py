"""The operators that layers are made of: dimensions in, `Work` out.

An operator states its dimensions for one sample and before any split.
From those follow, by formula and for any `Share` of a device: the kernels of its
forward pass (F), of the gradient of its inputs (I) and of its weights (W), its
parameters, and the activation bytes that it keeps for the backward pass.

Source of the saved activations: Korthikanti et al., arXiv:2205.05198, section 4.
"""

from models.operators.convolution import Convolution
from models.operators.elementwise import Elementwise
from models.operators.embedding import Embedding, EmbeddingBag
from models.operators.local import LocallyConnected
from models.operators.operator import Operator, Split, degree
from models.operators.products import BatchedProduct, Linear
from models.operators.recurrent import Lstm
from models.operators.windows import RankGrid, Sliding, Window, rank_grid

__all__ = [
    "BatchedProduct",
    "Convolution",
    "Elementwise",
    "Embedding",
    "EmbeddingBag",
    "Linear",
    "LocallyConnected",
    "Lstm",
    "Operator",
    "RankGrid",
    "Sliding",
    "Split",
    "Window",
    "degree",
    "rank_grid",
]
