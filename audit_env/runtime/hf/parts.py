"""Where an architecture keeps its parts. They are found by looking, and `gates` proves that they are the right ones."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from audit_env.errors import WeightsError
from audit_env.runtime.editing import Between


@dataclass(frozen=True)
class Parts:
    """The parts of a causal language model."""

    trunk: Any
    """Everything but the head: from token ids to normed residuals."""
    layers: nn.ModuleList
    layers_name: str
    """The layers' path in the model, e.g. `model.layers`."""
    norm: nn.Module
    """The final norm."""
    embedding: Any
    head: Any
    """The unembedding, a linear map."""
    factor: float
    """What the head's output is multiplied by."""
    softcap: float | None
    """Bound that the logits are squeezed into by a tanh (Gemma), if there is one."""

    @property
    def gain(self) -> Tensor:
        """What the final norm multiplies each coordinate by, `[d_model]`: its weight, or one plus it (Gemma)."""
        weight = getattr(self.norm, "weight", None)
        if not isinstance(weight, Tensor):
            return torch.ones(self.head.weight.shape[1])
        if isinstance(self.norm, nn.LayerNorm):
            return weight
        ones = self.norm(torch.ones_like(weight))
        return min((weight, 1 + weight), key=lambda gain: float((gain - ones).abs().max()))


def find_parts(model: Any, folder: Path) -> Parts:
    """Find the parts of a model.

    Args:
        model: A causal language model of transformers.
        folder: Where it comes from, for error texts.

    Returns:
        Its parts.

    Raises:
        WeightsError: If it is not built as a stack of layers between an embedding, a final norm and a linear head.
    """
    config = model.config.get_text_config(decoder=True)
    head, trunk = model.get_output_embeddings(), model.base_model
    modules = list(model.get_decoder().modules())
    layers = next((m for m in modules if isinstance(m, nn.ModuleList) and len(m) == config.num_hidden_layers), None)
    if layers is None or trunk is model or not isinstance(getattr(head, "weight", None), Tensor):
        raise unknown(model.config.model_type, folder, "its layers or its head were not found")
    name = next(name for name, module in model.named_modules() if module is layers)
    return Parts(
        trunk=trunk,
        layers=layers,
        layers_name=name,
        norm=_final_norm(model, trunk, layers, model.get_submodule(name.rpartition(".")[0]), folder),
        embedding=model.get_input_embeddings(),
        head=head,
        factor=float(getattr(config, "logit_scale", None) or 1) / float(getattr(config, "logits_scaling", None) or 1),
        softcap=getattr(config, "final_logit_softcapping", None),
    )


def unknown(model_type: str, folder: Path, reason: str) -> WeightsError:
    """The error for a model that this engine does not know how to read.

    Args:
        model_type: Its architecture.
        folder: Where it comes from.
        reason: What is wrong with it.

    Returns:
        The error, to be raised.
    """
    return WeightsError(
        f"{folder / 'config.json'}: field 'model_type' is '{model_type}', and the hf engine does not read it right: "
        f"{reason}. Take a model of another architecture."
    )


def _final_norm(model: Any, trunk: Any, layers: nn.ModuleList, around: nn.Module, folder: Path) -> nn.Module:
    """The one module beside the layers that is called after the last of them."""
    called: list[nn.Module] = []

    def note(module: nn.Module, *_: object) -> None:
        called.append(module)

    watched = [*(module for module in around.children() if module is not layers), layers[-1]]
    hooks = [module.register_forward_hook(note) for module in watched]
    try:
        trunk(input_ids=torch.tensor([[1, 2, 3]], device=model.get_input_embeddings().weight.device), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    after = called[called.index(layers[-1]) + 1 :] if layers[-1] in called else []
    if len(after) != 1:
        raise unknown(
            model.config.model_type, folder, f"{len(after)} modules instead of one final norm follow its last layer"
        )
    return after[0]


def meeting_input(between: Between) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], Any]:
    """A forward pre-hook that lets the residual stream that goes into the first layer be met, and perhaps changed."""

    def meet(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if given:
            return (_met(between, -1, given[0]), *given[1:]), named
        return given, {**named, "hidden_states": _met(between, -1, named["hidden_states"])}

    return meet


def meeting_output(between: Between, layer: int) -> Callable[[nn.Module, Any, Any], Any]:
    """The same as a forward hook for what comes out of a layer, alone or first in a tuple."""

    def meet(_: nn.Module, __: Any, out: Any) -> Any:
        if isinstance(out, tuple):
            return (_met(between, layer, out[0]), *out[1:])
        return _met(between, layer, out)

    return meet


def _met(between: Between, layer: int, x: Tensor) -> Tensor:
    """What becomes of a residual stream `[b, t, d_model]`."""
    return between(layer, x.flatten(0, 1)).reshape(x.shape)
