"""A base on the small engine."""

from dataclasses import replace
from pathlib import Path

from audit_env.runtime.base import LocalBase
from audit_env.runtime.chat import Chat
from audit_env.runtime.engine import apart
from audit_env.runtime.small.adapter import Adapter, read_adapter, truncate_adapter
from audit_env.runtime.small.config import Shape
from audit_env.runtime.small.engine import Engine
from audit_env.runtime.small.model import Llama
from audit_env.runtime.small.weights import read_weights


class Base(LocalBase[Llama, Adapter]):
    """One per folder and process; every organism made from it shares it."""

    def __init__(self, folder: Path, expected: str | None = None) -> None:
        """Load a base.

        Args:
            folder: A Hugging Face model folder.
            expected: SHA-256 that its weights must have; None to take them as they are.

        Raises:
            WeightsError: If a file is missing, altered, or not a model that this engine computes.
        """
        shape = Shape.read(folder)
        model = Llama(shape, apart(lambda: read_weights(folder, shape, expected)))
        super().__init__(folder, Chat(folder), model, shape, Engine(model), {"dtype": "float32", "device": "cpu"})

    def _read(self, folder: Path, expected: str | None) -> Adapter:
        return apart(lambda: read_adapter(folder, self.model.shape, expected))

    def _truncate(self, adapter: Adapter, rank: int) -> Adapter:
        return truncate_adapter(adapter, self.model.shape, rank)

    def _scale(self, adapter: Adapter, scale: float) -> Adapter:
        return adapter if scale == 1 else replace(adapter, scale=scale * adapter.scale)
