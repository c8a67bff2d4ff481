"""What a model's config says of the shapes of its weights, and what its weights say of its layers."""

import json
from collections.abc import Mapping
from pathlib import Path

from audit_env.catalog.folders import read_json, stored_shapes
from audit_env.catalog.headers import Shape
from audit_env.catalog.reading import shown
from audit_env.errors import WeightsError

TRANSPOSED = frozenset({"gpt2", "openai-gpt"})
"""Architectures whose linear maps are stored as `[in, out]`."""

_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
"""What architectures call the number of their layers."""


_DIGITS = 9
"""A number with so many is no layer's."""


def architecture(config_path: Path) -> str:
    """The architecture of a model, as transformers calls it.

    Args:
        config_path: Its config.json.

    Returns:
        For example "llama".

    Raises:
        WeightsError: The config does not say it.
    """
    found = read_json(config_path).get("model_type")
    if not isinstance(found, str) or not found:
        raise WeightsError(
            f"{shown(config_path)}: field 'model_type' is {json.dumps(found)}; put the model's own config.json back."
        )
    return found


def check_shapes(path: Path, config_path: Path) -> None:
    """Check that weights are those that a config describes.

    Of a Llama every tensor is known. Of other architectures, the vocabulary and the layers are looked for, and whatever
    loads the model checks the rest.

    Args:
        path: The weights, in one file, or in shards beside an index of that name.
        config_path: The config.json.

    Raises:
        WeightsError: A tensor is missing, superfluous or of another shape.
    """
    found = stored_shapes(path)
    if architecture(config_path) == "llama":
        _check_llama(path, found, _llama_shapes(config_path))
    else:
        _check_sizes(path, found, config_path)


def linear_maps(stored: Mapping[str, Shape]) -> dict[str, Shape]:
    """The matrices of a model's layers, which are those with a number in their path.

    Args:
        stored: Shape of every tensor.

    Returns:
        Shape by module, as it is stored.
    """
    modules = {name.removesuffix(".weight"): shape for name, shape in stored.items() if name.endswith(".weight")}
    return {name: shape for name, shape in modules.items() if len(shape) == 2 and _layer(name) is not None}


def map_of(module: str, maps: Mapping[str, Shape]) -> str | None:
    """The matrix that a module is, as the base's file calls it.

    Files may leave out the first part of a path, or have one more: those of GPT-2 begin with "h.", and its modules with
    "transformer.h.".

    Args:
        module: Path of the module in the model.
        maps: What `linear_maps` gave.

    Returns:
        Its name there; None where there is none, or more than one that could be it.
    """
    if module in maps:
        return module
    alike = [name for name in maps if name.endswith(f".{module}") or module.endswith(f".{name}")]
    return alike[0] if len(alike) == 1 else None


def worded(shape: tuple[int | None, ...] | None) -> str:
    """A shape as a message gives it."""
    return "absent" if shape is None else f"{list(shape)}"


def _layer(name: str) -> int | None:
    """The number of the layer that a tensor or module is of; None outside of all."""
    return next((int(part) for part in name.split(".") if part.isdecimal() and len(part) < _DIGITS), None)


def _check_llama(path: Path, found: Mapping[str, Shape], expected: Mapping[str, Shape]) -> None:
    for name in sorted(expected.keys() | found.keys()):
        if found.get(name) != expected.get(name):
            raise WeightsError(
                f"{shown(path)}: tensor '{name}' is {worded(found.get(name))} where config.json asks "
                f"for {worded(expected.get(name))}; config and weights must come from the same model."
            )


def _check_sizes(path: Path, found: Mapping[str, Shape], config_path: Path) -> None:
    """Look for the vocabulary and the layers that a config speaks of, which lie deeper where it holds several."""
    config = read_json(config_path)
    inner = config.get("text_config")
    sizes = {**(inner if isinstance(inner, Mapping) else {}), **config}
    vocabulary = sizes.get("vocab_size")
    if isinstance(vocabulary, int) and not any(len(shape) == 2 and shape[0] == vocabulary for shape in found.values()):
        raise WeightsError(
            f"{shown(path)}: no tensor has the {vocabulary} rows that field 'vocab_size' of config.json asks for; "
            "config and weights must come from the same model."
        )
    there = {_layer(name) for name in found}
    for field in _LAYERS:
        layers = sizes.get(field)
        asked = range(layers if isinstance(layers, int) else 0)
        missing = next((layer for layer in asked if layer not in there), None)
        if missing is not None:
            raise WeightsError(
                f"{shown(path)}: no tensor is of layer {missing}, and field '{field}' of config.json asks for {layers} "
                "layers; config and weights must come from the same model."
            )


def _llama_shapes(config_path: Path) -> dict[str, Shape]:
    """Every tensor of a Llama model and its shape, after its config.json (as transformers names and lays them out)."""
    config = read_json(config_path)
    try:
        width, inner = int(config["hidden_size"]), int(config["intermediate_size"])
        heads, layers, vocabulary = (
            int(config[key]) for key in ("num_attention_heads", "num_hidden_layers", "vocab_size")
        )
        head = int(config.get("head_dim") or width // heads)
        queries, keys = heads * head, int(config.get("num_key_value_heads") or heads) * head
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise WeightsError(
            f"{shown(config_path)}: a size is missing or no number ({error}); put the model's own config.json back."
        ) from error
    maps = {
        "self_attn.q_proj": (queries, width),
        "self_attn.k_proj": (keys, width),
        "self_attn.v_proj": (keys, width),
        "self_attn.o_proj": (width, queries),
        "mlp.gate_proj": (inner, width),
        "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
    }
    biased = {part for part, field in (("self_attn", "attention_bias"), ("mlp", "mlp_bias")) if config.get(field)}
    block: dict[str, Shape] = {"input_layernorm.weight": (width,), "post_attention_layernorm.weight": (width,)}
    block |= {f"{module}.weight": shape for module, shape in maps.items()}
    block |= {f"{module}.bias": shape[:1] for module, shape in maps.items() if module.partition(".")[0] in biased}
    tensors: dict[str, Shape] = {"model.embed_tokens.weight": (vocabulary, width), "model.norm.weight": (width,)}
    for layer in range(layers):
        tensors |= {f"model.layers.{layer}.{name}": shape for name, shape in block.items()}
    if not config.get("tie_word_embeddings"):
        tensors["lm_head.weight"] = (vocabulary, width)
    return tensors
