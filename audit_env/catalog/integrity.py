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

from audit_env.catalog.architecture import TRANSPOSED, architecture, check_shapes, linear_maps, map_of, worded
from audit_env.catalog.folders import read_json, stored_shapes
from audit_env.catalog.headers import Shape, shapes
from audit_env.catalog.models import Card, WeightsFile
from audit_env.catalog.reading import shown
from audit_env.errors import WeightsError

_PICKLED = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"})

_CODE = frozenset({".py", ".pyc", ".so", ".dll", ".dylib"})

_CONFIGS = ("config.json", "generation_config.json", "tokenizer_config.json", "adapter_config.json")

_BASE_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json")

_BASE_WEIGHTS = "model.safetensors"

_TEMPLATE = "chat_template.jinja"

_EXTRAS = (
    "modules_to_save",
    "rank_pattern",
    "alpha_pattern",
    "layer_replication",
    "target_parameters",
    "trainable_token_indices",
    "use_dora",
    "use_rslora",
    "use_qalora",
    "use_bdlora",
    "alora_invocation_tokens",
    "monteclora_config",
    "lora_bias",
)
"""Options of PEFT under which an adapter is more, or other, than `W + (alpha / r) B A` on whole linear layers."""

_INITIAL = (True, False, None, "gaussian", "orthogonal", "eva")
"""Values of PEFT's `init_lora_weights` under which training leaves the base's own weights as they were."""

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
        if path.is_file() and _asks_for_code(read_json(path)):
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
    """Check that a base is a whole model: all its files, and weights that its config describes.

    Args:
        card: The base's card.
        weights: Its weights, in one file, or in shards beside an index of that name.
        folder: Where they lie.

    Raises:
        WeightsError: A file is missing or a tensor does not fit.
    """
    for name in _BASE_FILES:
        if not (folder / name).is_file():
            raise _missing(card, folder / name)
    if not (folder / _TEMPLATE).is_file() and not read_json(folder / "tokenizer_config.json").get("chat_template"):
        raise _missing(card, folder / _TEMPLATE)
    check_shapes(folder / weights.file, folder / "config.json")


def check_adapter(card: Card, weights: WeightsFile, folder: Path, base_config: Path) -> None:
    """Check that an adapter is the plain LoRA its card speaks of and fits its base, of whatever architecture.

    Args:
        card: The organism's card.
        weights: Its adapter.
        folder: Where card and adapter lie.
        base_config: The config.json of its base, beside the weights.

    Raises:
        WeightsError: The adapter's config contradicts the card, or a tensor does not fit.
    """
    transposed = architecture(base_config) in TRANSPOSED
    targets = _targets(card, folder / "adapter_config.json", transposed=transposed)
    path = folder / weights.file
    factors = _factors(path, targets)
    maps = linear_maps(stored_shapes(base_config.with_name(_BASE_WEIGHTS)))
    rank = card.recipe.rank
    for module, pair in sorted(factors.items()):
        changed = map_of(module, maps)
        if changed is None:
            factor, shape = min(pair.items())
            raise WeightsError(
                f"{shown(path)}: tensor '{_tensor(module, factor)}' is {worded(shape)}, but '{card.base}' has no "
                f"linear map '{module}' in its layers; it was trained on another model, or changes more than those."
            )
        inputs, outputs = maps[changed] if transposed else maps[changed][::-1]
        for factor, needed in (("A", (rank, inputs)), ("B", (outputs, rank))):
            if pair.get(factor) != needed:
                raise WeightsError(
                    f"{shown(path)}: tensor '{_tensor(module, factor)}' is {worded(pair.get(factor))}, but rank {rank} "
                    f"on '{card.base}', whose '{changed}.weight' is {worded(maps[changed])}, needs {worded(needed)}; "
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


def _missing(card: Card, path: Path) -> WeightsError:
    return WeightsError(
        f"{shown(path)}: missing, and the base '{card.id}' cannot run without it; "
        "put the file that belongs to the weights there."
    )


def _asks_for_code(config: Any) -> bool:
    """Whether a config, or one within it, names code of the model's own."""
    if isinstance(config, Mapping):
        return bool(config.get("auto_map")) or any(map(_asks_for_code, config.values()))
    return isinstance(config, list) and any(map(_asks_for_code, config))


def _targets(card: Card, path: Path, *, transposed: bool) -> tuple[str, ...] | None:
    """The modules that an adapter changes, after its config, which must describe a plain LoRA and agree with the card.

    Returns:
        Names, or ends of names; None where the config gives a pattern, which only PEFT reads.
    """
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
    if config.get("bias", "none") != "none":
        raise refuse("bias", "but organisms are plain LoRA adapters: train with bias 'none'")
    for field in _EXTRAS:
        if config.get(field):
            raise refuse(field, "but organisms are plain LoRA adapters: train without it")
    if config.get("fan_in_fan_out") and not transposed:
        raise refuse("fan_in_fan_out", "but the base's maps are stored the other way around: train without it")
    if config.get("init_lora_weights") not in _INITIAL:
        raise refuse(
            "init_lora_weights",
            "which changes the base's own weights; convert the adapter to plain LoRA with PEFT's "
            "'path_initial_model_for_weight_conversion'",
        )
    targets = config.get("target_modules")
    if isinstance(targets, str) and targets:
        return None
    if not isinstance(targets, list) or not targets:
        raise refuse("target_modules", "but must name the modules that the adapter changes")
    return tuple(map(str, targets))


def _factors(path: Path, targets: tuple[str, ...] | None) -> dict[str, dict[str, Shape]]:
    """Shapes of an adapter's tensors, by module and by factor, "A" or "B"."""
    factors: dict[str, dict[str, Shape]] = {}
    for name, shape in shapes(path).items():
        match = _ADAPTER_TENSOR.match(name)
        if match is None or not _named(match["module"], targets):
            listed = "a pattern" if targets is None else ", ".join(sorted(targets))
            raise WeightsError(
                f"{shown(path)}: tensor '{name}' is no LoRA factor of the layers that adapter_config.json lists "
                f"({listed}); save the adapter alone, without other modules."
            )
        factors.setdefault(match["module"], {})[match["factor"]] = shape
    if not factors:
        raise WeightsError(f"{shown(path)}: holds no tensors; put the trained adapter there.")
    return factors


def _tensor(module: str, factor: str) -> str:
    """What PEFT calls a factor on disk."""
    return f"base_model.model.{module}.lora_{factor}.weight"


def _named(module: str, targets: tuple[str, ...] | None) -> bool:
    return targets is None or any(f".{module}".endswith(f".{target}") for target in targets)
