"""Any transformer from a `config.json` of Hugging Face.

    build_from_config(text, {"sequence_length": 4096})

Keys that are left out have the default of their configuration class, where that is
not a dimension of one published model.

Limits: the tokens of a sample are no property of most networks: they are read only
where a learned position table fixes them. Windows of local attention, soft caps and
multi-token prediction are not modelled; BERT has its pre-training heads. Attention is
`materialized` where there is a learned position table and `flash` elsewhere, unless
`attention` says otherwise.

Source: the configuration classes of huggingface/transformers, from memory; the tests
compare what is counted with published checkpoints.
"""

from models.huggingface.reading import MODEL_TYPES, build_from_config

__all__ = ["MODEL_TYPES", "build_from_config"]
