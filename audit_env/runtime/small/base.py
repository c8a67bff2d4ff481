"""A base in memory, with the engine that runs it and the adapters that it serves."""

from functools import cached_property
from pathlib import Path

from audit_env.runtime.chat import Chat
from audit_env.runtime.small.adapter import Adapter, read_adapter
from audit_env.runtime.small.batch import Generated
from audit_env.runtime.small.config import Shape
from audit_env.runtime.small.engine import Engine
from audit_env.runtime.small.memo import Memo, Once
from audit_env.runtime.small.model import Llama
from audit_env.runtime.small.weights import read_weights
from audit_env.runtime.subject import Floats

MEMO_BYTES = 512 * 2**20
"""For first-token distributions of controls: twice what a scan of the fruitfly's vocabulary takes for base and sham.

The other half is for what single targets bring up, so that it does not push out what all of them share.
"""
MEMO_ANSWERS = 50_000
"""Of controls, about a kilobyte each."""


class Base:
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
        self.model = Llama(shape, read_weights(folder, shape, expected))
        self.chat = Chat(folder)
        self.engine = Engine(self.model)
        self.first_tokens: Once[Floats] = Once(Memo(MEMO_BYTES, lambda array: array.nbytes))
        self.answers: Memo[Generated] = Memo(MEMO_ANSWERS)
        self._adapters: dict[tuple[Path, str | None], Adapter] = {}

    def adapter(self, folder: Path, expected: str | None = None) -> Adapter:
        """An adapter of this base, read when it is first asked for.

        Args:
            folder: A PEFT adapter folder.
            expected: SHA-256 that its weights must have; None to take them as they are.

        Returns:
            The adapter.

        Raises:
            WeightsError: If a file is missing or altered, or the adapter does not fit.
        """
        key = folder, expected
        if key not in self._adapters:
            self._adapters[key] = read_adapter(folder, self.model.shape, expected)
        return self._adapters[key]

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """Every token as a reader sees it."""
        return tuple(self.chat.vocabulary(self.model.shape.vocab_size))
