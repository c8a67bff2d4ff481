"""The LoRA adapters of a model in memory, and the switch between them.

PEFT's switch is global: which adapter a forward pass uses, and how much of it, is a state of the model. So every pass
names its adapter, and `wear` puts it on right before; only the engine's thread may call it.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from peft import LoraConfig, PeftModel, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from audit_env.errors import WeightsError
from audit_env.runtime.files import read_json
from audit_env.runtime.hf.source import check_folder
from audit_env.runtime.lowrank import truncated

PLAIN: Mapping[str, object] = {
    "peft_type": "LORA",
    "bias": "none",
    **dict.fromkeys(("use_dora", "lora_bias", "use_qalora"), False),
    **dict.fromkeys(
        (
            "alora_invocation_tokens",
            "layer_replication",
            "modules_to_save",
            "monteclora_config",
            "target_parameters",
            "trainable_token_indices",
            "use_bdlora",
        )
    ),
}
"""Fields of `adapter_config.json`, and the only value of each under which an adapter is W + scale * B A."""

INITIAL = (True, False, None, "gaussian", "orthogonal", "eva")
"""Values of the field `init_lora_weights` that leave the base's weights as they are."""

_TENSOR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<factor>[AB])\.weight")


class Worn(NamedTuple):
    """An adapter as a forward pass uses it."""

    name: str
    dose: float = 1.0
    """What its effect is multiplied by."""


class Adapters:
    """The adapters of one model."""

    def __init__(self, model: Any, layers_name: str) -> None:
        """Prepare a model without adapters for them.

        Args:
            model: A causal language model of transformers. PEFT puts its layers into it, in place.
            layers_name: Path of its layers, the only part that an adapter may change.
        """
        self._model, self._layers_name = model, layers_name
        self._peft: Any = None
        self._worn: Worn | None = None
        self._scales: dict[str, dict[str, float]] = {}
        """By adapter and module, as they are at the ordinary dose."""

    def wear(self, worn: Worn | None) -> None:
        """Make the next forward passes those of a side.

        Args:
            worn: An adapter that was added; None for the base alone.
        """
        if worn == self._worn:
            return
        tuner = self._peft.base_model
        if worn is None:
            tuner.disable_adapter_layers()
        else:
            tuner.enable_adapter_layers()
            tuner.set_adapter(worn.name, inference_mode=True)
            for path, module in self._adapted(worn.name).items():
                module.scaling[worn.name] = worn.dose * self._scales[worn.name][path]
        self._worn = worn

    def add(self, name: str, config: LoraConfig) -> None:
        """Put an adapter that changes nothing yet into the model: A is random and B is zero.

        Args:
            name: A new name.
            config: Ranks, scales and target modules.
        """
        if self._peft is None:
            self._peft = PeftModel(self._model, config, name)
        else:
            self._peft.add_adapter(name, config)
        self._peft.eval()
        self._peft.base_model.disable_adapter_layers()  # PEFT switches a first adapter on at once
        self._worn = None
        self._scales[name] = {path: float(module.scaling[name]) for path, module in self._adapted(name).items()}

    def fill(self, name: str, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Give an added adapter its values.

        Args:
            name: The adapter.
            tensors: A and B of every module, as they are named on disk.
            path: Where they come from, for error texts.

        Raises:
            WeightsError: If one is superfluous or missing.
        """
        result: Any = set_peft_model_state_dict(self._peft, dict(tensors), adapter_name=name)
        missing = [key for key in result.missing_keys if f".{name}." in key]
        if astray := [*result.unexpected_keys, *missing]:
            raise WeightsError(
                f"{path}: tensor '{min(astray)}' is named by the weights or by field 'target_modules' of "
                "adapter_config.json, and not by both; save the adapter again."
            )

    def factors(self, name: str) -> dict[str, tuple[Tensor, Tensor, float]]:
        """What an adapter adds to each module.

        Args:
            name: The adapter.

        Returns:
            A `[rank, in]`, B `[out, rank]` and the scale by module, e.g. `layers.0.self_attn.q_proj`: the layers are
            called so in every architecture.
        """
        return {
            f"layers{path.removeprefix(self._layers_name)}": (
                module.lora_A[name].weight,
                module.lora_B[name].weight,
                self._scales[name][path],
            )
            for path, module in self._adapted(name).items()
        }

    def truncate(self, name: str, rank: int, new: str) -> bool:
        """Add an adapter that is the largest singular directions of another.

        Args:
            name: The other.
            rank: How many are left of each update.
            new: The new adapter's name.

        Returns:
            Whether there is such an adapter: not where the other has no more than `rank` in any module.
        """
        adapted = self._adapted(name)
        if all(module.r[name] <= rank for module in adapted.values()):
            return False
        # The same rank everywhere: an update that has fewer is filled up with zeros.
        config = replace(self._peft.peft_config[name], r=rank, rank_pattern={}, alpha_pattern={})
        self.add(new, config)
        for path, module in adapted.items():
            a, b = (factor[name].weight for factor in (module.lora_A, module.lora_B))
            for factor, values in zip((module.lora_A, module.lora_B), truncated(a, b, rank), strict=True):
                factor[new].weight.copy_(values)
            self._scales[new][path] = self._scales[name][path]
        return True

    def _adapted(self, name: str) -> dict[str, Any]:
        """The modules that an adapter changes, by their path in the model."""
        return {
            path: module
            for path, module in self._model.named_modules()
            if isinstance(module, LoraLayer) and name in module.lora_A
        }

    def read(self, folder: Path, expected: str | None) -> tuple[LoraConfig, dict[str, Tensor]]:
        """Read an adapter from disk and check that it fits.

        Args:
            folder: A PEFT folder.
            expected: SHA-256 that its weights must have; None to take them as they are.

        Returns:
            Its configuration and its tensors.

        Raises:
            WeightsError: If it is missing, altered, more than plain LoRA on the layers' linear maps, or was made for
                another model.
        """
        check_folder(folder, "adapter_model", expected)
        config, path = _read_config(folder), folder / "adapter_model.safetensors"
        try:
            tensors = load_file(path)
        except SafetensorError as error:
            raise WeightsError(f"{path} is not a readable safetensors file: {error}.") from error
        if not tensors:
            raise WeightsError(f"{path}: the adapter holds no LoRA factors; it may have been saved before training.")
        modules = dict(self._model.named_modules())
        for name, tensor in tensors.items():
            match = _TENSOR.fullmatch(name)
            module = modules.get(match["module"]) if match else None
            if match is None or module is None or not match["module"].startswith(f"{self._layers_name}."):
                raise WeightsError(
                    f"{path}: tensor '{name}' is no LoRA factor of a linear map in '{self._layers_name}' of this base; "
                    "the adapter was made for another model, or changes more than its layers."
                )
            _check_tensor(path, name, tensor, match["factor"], module)
        return config, tensors


def _read_config(folder: Path) -> LoraConfig:
    """The configuration, if it means plain LoRA."""
    path = folder / "adapter_config.json"
    given = read_json(path)
    for field, plain in PLAIN.items():
        if (given.get(field, plain) or None) != (plain or None):
            raise WeightsError(
                f"{path}: field '{field}' is {given[field]!r}, which the hf engine does not compute: "
                "give a plain LoRA adapter."
            )
    if given.get("init_lora_weights") not in INITIAL:
        raise WeightsError(
            f"{path}: field 'init_lora_weights' is {given['init_lora_weights']!r}, which changes the base's own "
            "weights; convert the adapter to plain LoRA with PEFT's 'path_initial_model_for_weight_conversion'."
        )
    try:
        config = cast(LoraConfig, LoraConfig.from_pretrained(str(folder)))  # of the type that was checked above
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{path}: PEFT cannot read it: {error}") from error
    config.init_lora_weights = True  # B begins at zero
    config.inference_mode = True
    return config


def _check_tensor(path: Path, name: str, tensor: Tensor, factor: str, module: Any) -> None:
    """Check a factor against the linear map it changes."""
    linear = module.get_base_layer() if isinstance(module, BaseTunerLayer) else module
    sizes = (getattr(linear, "in_features", None), getattr(linear, "out_features", None))
    inputs, outputs = linear.weight.shape if isinstance(linear, Conv1D) else sizes
    width, needed = (tensor.shape[-1], inputs) if factor == "A" else (tensor.shape[0], outputs)
    if tensor.dim() != 2 or width != needed:
        raise WeightsError(
            f"{path}: tensor '{name}' is {tuple(tensor.shape)}, and the map it changes has {needed} "
            f"{'inputs' if factor == 'A' else 'outputs'}; the adapter was made for another model."
        )
    if not torch.isfinite(tensor).all():
        raise WeightsError(f"{path}: tensor '{name}' holds NaN or infinity; breed or download it again.")
