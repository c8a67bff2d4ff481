"""A base on the hf engine."""

from itertools import count
from pathlib import Path

import torch

from audit_env.runtime.base import LocalBase
from audit_env.runtime.chat import Chat
from audit_env.runtime.hf.adapters import Worn
from audit_env.runtime.hf.engine import Engine
from audit_env.runtime.hf.gates import check_model, check_zero
from audit_env.runtime.hf.model import HfModel
from audit_env.runtime.hf.options import Options
from audit_env.runtime.hf.source import resolved


class HfBase(LocalBase[HfModel, Worn]):
    """One per model and process; every organism made from it shares it."""

    def __init__(self, source: Path | str, expected: str | None = None, options: Options | None = None) -> None:
        """Load a base.

        Args:
            source: A Hugging Face model folder, or a pinned repository (see `source.resolved`; not yet run).
            expected: SHA-256 that its weights must have; None to take them as they are.
            options: Precision and place; by default those of the environment.

        Raises:
            WeightsError: If a file is missing, altered or forbidden, or the engine does not read the architecture
                right.
            MissingExtraError: If the options need a package that is not installed.
            ParameterError: If the environment names an option that does not exist.
        """
        folder = resolved(source)
        chat = Chat(folder)
        options = options or Options.from_environment()
        model = HfModel(folder, expected, options)
        with torch.inference_mode():
            check_model(model)
        weight = model.parts.embedding.weight
        settings = {"dtype": weight.dtype, "device": options.device or weight.device, "quantised": options.quantised}
        super().__init__(
            folder, chat, model, model, Engine(model), {name: str(value) for name, value in settings.items()}
        )
        self._names = (f"a{number}" for number in count())
        """Each is used once, since an adapter that is refused late stays in the model, where nothing switches it on."""

    def _read(self, folder: Path, expected: str | None) -> Worn:
        name = next(self._names)
        self.engine.run(lambda model: _load_adapter(model, name, folder, expected)).result()
        return Worn(name)

    def _truncate(self, adapter: Worn, rank: int) -> Worn:
        name = next(self._names)
        made = self.engine.run(lambda model: _truncate_adapter(model, adapter.name, rank, name)).result()
        return Worn(name) if made else adapter

    def _scale(self, adapter: Worn, scale: float) -> Worn:
        return Worn(adapter.name, scale * adapter.dose)


@torch.inference_mode(False)
def _load_adapter(model: HfModel, name: str, folder: Path, expected: str | None) -> None:
    """Read an adapter, and fill it only when it has shown that it changes nothing while B is zero."""
    config, tensors = model.adapters.read(folder, expected)
    with torch.no_grad():
        model.adapters.add(name, config)
        check_zero(model, Worn(name))
        model.adapters.fill(name, tensors, folder / "adapter_model.safetensors")


@torch.inference_mode(False)
@torch.no_grad()
def _truncate_adapter(model: HfModel, name: str, rank: int, new: str) -> bool:
    return model.adapters.truncate(name, rank, new)
