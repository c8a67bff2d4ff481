"""A base in memory, with the engine that runs it, the adapters that it serves and what its controls said."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from audit_env.runtime.answers import Source, fingerprint, machine
from audit_env.runtime.beside import BesideWeights
from audit_env.runtime.chat import Chat
from audit_env.runtime.engine import LocalEngine
from audit_env.runtime.memo import Memo, Once
from audit_env.runtime.request import Generated
from audit_env.runtime.subject import Floats

MEMO_BYTES = 512 * 2**20
"""For first-token distributions of controls: twice what a scan of the fruitfly's vocabulary takes for base and sham.

The other half is for what single targets bring up, so that it does not push out what all of them share.
"""
MEMO_ANSWERS = 50_000
"""Of controls, about a kilobyte each."""

Model = TypeVar("Model")
Adapter = TypeVar("Adapter")


class Sizes(Protocol):
    """Sizes of a model."""

    @property
    def n_layers(self) -> int:
        """Blocks."""
        ...

    @property
    def d_model(self) -> int:
        """Numbers of the residual stream."""
        ...

    @property
    def vocab_size(self) -> int:
        """Tokens that there are."""
        ...

    @property
    def context_length(self) -> int:
        """Tokens that it reads at most."""
        ...


class LocalBase(BesideWeights, ABC, Generic[Model, Adapter]):
    """One per model and process; every organism made from it shares it."""

    sizes: Sizes

    def __init__(
        self,
        folder: Path,
        chat: Chat,
        model: Model,
        sizes: Sizes,
        engine: LocalEngine[Model, Adapter],
        settings: Mapping[str, str],
    ) -> None:
        """Put a base together.

        Args:
            folder: Where its files lie.
            chat: Its tokenizer.
            model: Its weights.
            sizes: Those of the model.
            engine: What computes with it.
            settings: How it is computed, as far as rounding depends on it: precision, device.
        """
        self.chat, self.model, self.sizes, self.engine = chat, model, sizes, engine
        self.folder = folder
        self.first_tokens: Once[Floats] = Once(Memo(MEMO_BYTES, lambda array: array.nbytes))
        self.answers: Once[Generated] = Once(Memo(MEMO_ANSWERS))
        self._settings = dict(settings)
        self._adapters: dict[tuple[Path, str | None], Adapter] = {}
        self._folders: dict[Adapter | None, Path] = {None: folder}
        self._fingerprints: dict[Adapter | None, str] = {}
        self._truncated: dict[tuple[Adapter, int], Adapter] = {}
        self._gate = threading.Lock()

    def adapter(self, folder: Path, expected: str | None = None) -> Adapter:
        """An adapter of this base, read when it is first asked for.

        Args:
            folder: A PEFT adapter folder.
            expected: SHA-256 that its weights must have; None to take them as they are.

        Returns:
            The adapter, as the engine's requests take it.

        Raises:
            WeightsError: If a file is missing or altered, the adapter does not fit, or it is of a form that the engine
                does not compute.
        """
        key = folder, expected
        if key not in self._adapters:
            self._adapters[key] = self._read(folder, expected)
            self._folders[self._adapters[key]] = folder
        return self._adapters[key]

    def source(self, engine: str, adapter: Adapter | None) -> Source:
        """Who answers, as the answers that are kept on disk know it.

        Args:
            engine: Name of the engine.
            adapter: As `adapter` gives it; None for the base alone.

        Returns:
            The files of both and how they are computed.
        """
        for one in {None, adapter} - self._fingerprints.keys():
            self._fingerprints[one] = fingerprint(self._folders[one])
        own = None if adapter is None else self._fingerprints[adapter]
        return Source(engine, self._fingerprints[None], own, self._rounding)

    def dosed(self, adapter: Adapter, scale: float, rank: int | None) -> Adapter:
        """An adapter at another dose. Truncations are kept: each is smaller than the adapter, and there are few.

        Args:
            adapter: As `adapter` gives it.
            scale: What its effect is multiplied by.
            rank: Singular directions that are left of each update; None for all.

        Returns:
            The adapter at this dose. Not to be waited for on an event loop: a truncation may take seconds.
        """
        if rank is not None:
            with self._gate:
                key = adapter, rank
                if key not in self._truncated:
                    self._truncated[key] = self._truncate(adapter, rank)
                adapter = self._truncated[key]
        return self._scale(adapter, scale)

    @cached_property
    def _rounding(self) -> Mapping[str, str]:
        """What rounding depends on besides the weights."""
        return {**self._settings, **machine()}

    @abstractmethod
    def _read(self, folder: Path, expected: str | None) -> Adapter:
        """Read an adapter from disk."""

    @abstractmethod
    def _truncate(self, adapter: Adapter, rank: int) -> Adapter:
        """An adapter's largest singular directions; the adapter itself where it has no more than `rank`."""

    @abstractmethod
    def _scale(self, adapter: Adapter, scale: float) -> Adapter:
        """An adapter whose effect is multiplied by `scale`."""
