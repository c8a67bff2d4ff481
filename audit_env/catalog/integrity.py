"""Whether the weights beside a card are the ones it speaks of, safe to load, and fit the model they are meant for.

Everything is read from headers and configuration files, so a check needs no torch and takes milliseconds.
"""

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audit_env.catalog.headers import Shape, shapes
from audit_env.catalog.models import Card, WeightsFile
from audit_env.catalog.reading import shown
from audit_env.errors import WeightsError

_PICKLED = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"})

_CODE = frozenset({".py", ".pyc", ".so", ".dll", ".dylib"})

_CONFIGS = ("config.json", "generation_config.json", "tokenizer_config.json", "adapter_config.json")

_BASE_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")

_TARGETS = frozenset({"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"})
"""The linear layers of a Llama block, which an adapter may change."""

_EXTRAS = (
    "modules_to_save",
    "rank_pattern",
    "alpha_pattern",
    "layer_replication",
    "target_parameters",
    "trainable_token_indices",
    "use_dora",
    "use_rslora",
    "fan_in_fan_out",
    "lora_bias",
)
"""Options of PEFT under which an adapter is more, or other, than `W + (alpha / r) B A` on whole linear layers."""

_ADAPTER_TENSOR = re.compile(r"^base_model\.model\.(?P<module>.+)\.lora_(?P<factor>[AB])\.weight$")


def refuse_pickles(folder: Path) -> None:
    """Refuse a folder that holds pickled weights, whether or not anything would load them.

    Raises:
        WeightsError: There is such a file.
    """
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _PICKLED:
            raise WeightsError(
                f"{shown(path)}: pickled weights can run code and are never loaded; "
                "remove the file, or convert it to safetensors."
            )


def refuse_code(folder: Path) -> None:
    """Refuse a folder that brings code of its own, whether or not anything would run it.

    Raises:
        WeightsError: There is a file of code, or a config asks loaders for one ("remote code").
    """
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _CODE:
            raise WeightsError(
                f"{shown(path)}: a model that brings code of its own is never loaded; remove the file, or take a model "
                "of a known architecture."
            )
    for path in (folder / name for name in _CONFIGS):
        if path.is_file() and read_json(path).get("auto_map"):
            raise WeightsError(
                f"{shown(path)}: field 'auto_map' asks for code of the model's own, which is never run; remove the "
                "field, or take a model of a known architecture."
            )


def check_hash(card: Card, weights: WeightsFile, folder: Path) -> None:
    """Check that the weights are there and are the ones the card names.

    Raises:
        WeightsError: They are missing or altered.
    """
    path = folder / weights.file
    if not path.is_file():
        raise WeightsError(f"{shown(path)}: missing; make it again with  audit-env breed organism {card.id}")
    got = sha256(path)
    if got != weights.sha256:
        raise WeightsError(
            f"{shown(path)}: not the weights its card was written for (field 'weights.sha256' of card.yaml: expected "
            f"{weights.sha256[:12]}, got {got[:12]}); put the original file back or run  "
            f"audit-env breed organism {card.id}"
        )


def check_base(card: Card, weights: WeightsFile, folder: Path) -> None:
    """Check that a base is a whole Llama model: all its files, and all tensors in the shapes of its config.

    Raises:
        WeightsError: A file is missing or a tensor does not fit.
    """
    for name in _BASE_FILES:
        if not (folder / name).is_file():
            raise WeightsError(
                f"{shown(folder / name)}: missing, and the base '{card.id}' cannot run without it; "
                "put the file that belongs to the weights there."
            )
    found = shapes(folder / weights.file)
    expected = _llama_shapes(folder / "config.json")
    for name in sorted(expected.keys() | found.keys()):
        if found.get(name) != expected.get(name):
            raise WeightsError(
                f"{shown(folder / weights.file)}: tensor '{name}' is {_worded(found.get(name))} where config.json asks "
                f"for {_worded(expected.get(name))}; config and weights must come from the same model."
            )


def check_adapter(card: Card, weights: WeightsFile, folder: Path, base_config: Path) -> None:
    """Check that an adapter is the plain LoRA its card speaks of and fits its base.

    Args:
        card: The organism's card.
        weights: Its adapter.
        folder: Where card and adapter lie.
        base_config: The config.json of its base.

    Raises:
        WeightsError: The adapter's config contradicts the card, or a tensor does not fit.
    """
    changed = _changed_modules(card, folder / "adapter_config.json")
    path = folder / weights.file
    factors: dict[str, dict[str, Shape]] = {}
    for name, shape in shapes(path).items():
        match = _ADAPTER_TENSOR.match(name)
        if match is None or match["module"].rpartition(".")[2] not in changed:
            raise WeightsError(
                f"{shown(path)}: tensor '{name}' is no LoRA factor of the layers that adapter_config.json lists "
                f"({', '.join(sorted(changed))}); save the adapter alone, without other modules."
            )
        factors.setdefault(match["module"], {})[match["factor"]] = shape
    if not factors:
        raise WeightsError(f"{shown(path)}: holds no tensors; put the trained adapter there.")
    linear = _llama_shapes(base_config)
    rank = card.recipe.rank
    for module, pair in sorted(factors.items()):
        out_in = linear.get(f"{module}.weight")
        fitting = {"A": (rank, out_in[1]), "B": (out_in[0], rank)} if out_in else {}
        if pair != fitting:
            got = ", ".join(f"{factor} {_worded(pair.get(factor))}" for factor in "AB")
            needed = ", ".join(f"{factor} {_worded(shape)}" for factor, shape in fitting.items()) or "no such module"
            raise WeightsError(
                f"{shown(path)}: the factors of '{module}' are {got}, and rank {rank} on '{card.base}' needs {needed}; "
                "it was trained on another model or with another rank."
            )


def sha256(path: Path) -> str:
    """Hash of a file, remembered for as long as its size and time of change stay the same.

    Args:
        path: The file.

    Returns:
        64 hexadecimal digits.
    """
    state = path.stat()
    return _sha256(path.resolve(), state.st_size, state.st_mtime_ns)


@functools.cache
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _changed_modules(card: Card, path: Path) -> frozenset[str]:
    """The layers an adapter changes, after its config, which must describe a plain LoRA and agree with the card."""
    config = read_json(path)

    def refuse(field: str, problem: str) -> WeightsError:
        return WeightsError(f"{shown(path)}: field '{field}' is {json.dumps(config.get(field))}, {problem}.")

    if config.get("peft_type") != "LORA":
        raise refuse("peft_type", "and only adapters of the type 'LORA' can be run")
    if config.get("r") != card.recipe.rank:
        raise refuse(
            "r", f"but field 'recipe.rank' of card.yaml says {card.recipe.rank}; correct the one that is wrong"
        )
    if card.recipe.alpha is not None and config.get("lora_alpha") != card.recipe.alpha:
        raise refuse("lora_alpha", f"but field 'recipe.alpha' of card.yaml says {card.recipe.alpha}; correct one")
    targets = config.get("target_modules")
    if not isinstance(targets, list) or not targets or not _TARGETS.issuperset(map(str, targets)):
        raise refuse("target_modules", f"but must list some of {', '.join(sorted(_TARGETS))}")
    if config.get("bias", "none") != "none":
        raise refuse("bias", "but organisms are plain LoRA adapters: train with bias 'none'")
    for field in _EXTRAS:
        if config.get(field):
            raise refuse(field, "but organisms are plain LoRA adapters: train without it")
    return frozenset(map(str, targets))


def _llama_shapes(config_path: Path) -> dict[str, Shape]:
    """Every tensor of a Llama model and its shape, after its config.json (as transformers names and lays them out)."""
    config = read_json(config_path)
    if config.get("model_type") != "llama":
        raise WeightsError(
            f"{shown(config_path)}: field 'model_type' is {json.dumps(config.get('model_type'))}; "
            "only the Llama architecture ('llama') can be run so far."
        )
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
    block = {
        "input_layernorm": (width,),
        "self_attn.q_proj": (queries, width),
        "self_attn.k_proj": (keys, width),
        "self_attn.v_proj": (keys, width),
        "self_attn.o_proj": (width, queries),
        "post_attention_layernorm": (width,),
        "mlp.gate_proj": (inner, width),
        "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
    }
    tensors: dict[str, Shape] = {"model.embed_tokens.weight": (vocabulary, width), "model.norm.weight": (width,)}
    for layer in range(layers):
        tensors |= {f"model.layers.{layer}.{module}.weight": shape for module, shape in block.items()}
    if not config.get("tie_word_embeddings"):
        tensors["lm_head.weight"] = (vocabulary, width)
    return tensors


def read_json(path: Path) -> Mapping[str, Any]:
    """A JSON file that holds an object.

    Args:
        path: The file.

    Returns:
        The object.

    Raises:
        WeightsError: It is missing, unreadable, or holds something else.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WeightsError(f"{shown(path)}: missing; put the file that was saved with the weights back.") from error
    except (OSError, ValueError) as error:
        raise WeightsError(f"{shown(path)}: not readable as JSON ({error}); put the original file back.") from error
    if not isinstance(data, dict):
        raise WeightsError(f"{shown(path)}: must hold a JSON object; put the original file back.")
    return data


def _worded(shape: tuple[int | None, ...] | None) -> str:
    return "absent" if shape is None else f"{list(shape)}"
