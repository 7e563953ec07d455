"""Torch's number formats by the names that plans have for them."""

import torch

FORMATS = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}
