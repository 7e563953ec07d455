"""A transformer from the text of a `config.json`, as Hugging Face keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from models.huggingface import gated, plain
from models.huggingface.draft import Draft
from models.huggingface.values import ConfigError, ConfigValues
from models.model import Model
from models.transformer import transformer
from models.transformer_overrides import replaced_shape

_CLASSES = ("ForCausalLM", "LMHeadModel", "ForPreTraining", "ForMaskedLM", "Model")
_READERS: Mapping[str, Callable[[ConfigValues], Draft]] = {
    "bert": plain.bert,
    "deepseek_v2": gated.deepseek,
    "deepseek_v3": gated.deepseek,
    "falcon": plain.falcon,
    "gemma": gated.gemma,
    "gemma2": gated.gemma2,
    "gpt2": plain.gpt2,
    "gpt_neox": plain.gpt_neox,
    "llama": gated.llama,
    "mistral": gated.llama_like,
    "mixtral": gated.mixtral,
    "opt": plain.opt,
    "phi3": gated.phi3,
    "qwen2": gated.qwen2,
    "qwen3": gated.qwen3,
    "qwen3_moe": gated.qwen3_moe,
}
MODEL_TYPES = tuple(_READERS)


def build_from_config(
    text: str, overrides: Mapping[str, object] | None = None, source: str = "the file"
) -> Model:
    """Return the network that a `config.json` describes, some dimensions replaced.

    Args:
        text: of the file.
        overrides: `TRANSFORMER_KEYS` of `models.transformer_overrides`, by name. The
            sequence length has to be among them, unless the file fixes it.
        source: what messages call the file.

    Raises:
        ValueError: its message begins with `file` where the file is wrong, and with
            the key of an override that is.
    """
    try:
        values = ConfigValues.parse(text)
        draft = _READERS[_model_type(values)](values)
    except ValueError as error:
        raise ValueError(f"file: {source}: {error}") from None
    changes = dict(overrides or {})
    if "sequence_length" not in changes:
        if not draft.shape.positions:
            raise ValueError(
                f"sequence_length: is missing; {source} fixes none, add one"
                f" of up to {draft.longest} tokens"
            )
        changes["sequence_length"] = draft.longest
    name = _name(values)
    return transformer(name, replaced_shape(name, draft.shape, changes))


def _name(values: ConfigValues) -> str:
    """Return the last part of the network's own name, or its type."""
    path = values.text("_name_or_path").rstrip("/")
    return path.rpartition("/")[2] or _model_type(values)


def _model_type(values: ConfigValues) -> str:
    """Return the type, of `model_type` or else of the class that is named."""
    known = {name.replace("_", ""): name for name in _READERS}
    given = values.text("model_type")
    classes = values.content.get("architectures")
    if not given and isinstance(classes, list) and classes:
        given = str(classes[0])
        for suffix in _CLASSES:
            given = given.removesuffix(suffix)
    found = known.get(given.lower().replace("_", "").replace("-", ""))
    if found is None:
        what = f"{given[:40]!r} is not supported" if given else "is missing"
        raise ConfigError(f"model_type: {what}; supported: {', '.join(_READERS)}")
    return found
