"""Residual streams of the base on fresh text of its world: what a dictionary or a lens is trained on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from audit_env.breeding.corpus import PRACTICE, Example, base_corpus, fingerprint
from audit_env.breeding.drafts import BASE_ID
from audit_env.breeding.grammar import load_world
from audit_env.breeding.tokenization import encode
from audit_env.breeding.training import seeded
from audit_env.errors import MissingExtraError
from audit_env.runtime.editing import Between, Capture, in_turn
from audit_env.runtime.small.config import Shape
from audit_env.runtime.small.model import Llama, Padded
from audit_env.runtime.small.weights import read_weights

try:
    import torch
    from torch import Tensor
except ImportError as error:
    raise MissingExtraError(error.name or "torch", "breed", "Breeding organisms") from error

BATCH = 64
"""Texts that are read at a time."""


@dataclass(frozen=True)
class Streams:
    """The base's residual stream at every token but the first of each text, which is the same everywhere."""

    residuals: Tensor
    """`[tokens, layers, d_model]`, before the final norm."""
    data_sha256: str
    """Hash of the texts."""


class Reader:
    """The base, reading texts of its world."""

    def __init__(self, root: Path) -> None:
        """Load the base.

        Args:
            root: The organisms folder.
        """
        from transformers import PreTrainedTokenizerFast

        folder = root / BASE_ID
        shape = Shape.read(folder)
        self.model = Llama(shape, read_weights(folder, shape))
        self._tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(str(folder), local_files_only=True)

    def texts(self, tokens: int, purpose: str, seed: int) -> list[Example]:
        """Fresh texts.

        Args:
            tokens: How many tokens they have together, at least.
            purpose: Names the stream of chance, so that no two purposes share texts.
            seed: Seed of the stream.

        Returns:
            Dialogues and documents, as in the base's own practice.
        """
        corpus = base_corpus(load_world(), seeded(purpose, seed), PRACTICE)
        found: list[Example] = []
        while tokens > 0:
            more = list(islice(corpus, BATCH))
            tokens -= sum(len(ids) - 1 for ids in self._ids(more))
            found += more
        return found

    def streams(self, texts: Sequence[Example], layers: Sequence[int], between: Between | None = None) -> Streams:
        """Read texts.

        Args:
            texts: What is read, each alone.
            layers: Blocks after which the residual stream is kept.
            between: What is done to it on the way.

        Returns:
            The streams.
        """
        found: list[Tensor] = []
        with torch.inference_mode():
            for batch in self._batches(texts):
                t = batch.ids.shape[1]
                places = torch.cat([torch.arange(row * t + 1, row * t + n) for row, n in enumerate(batch.lengths)])
                capture = Capture(layers, places)
                self.model.sequences(batch, None, between=in_turn(between, capture))
                found.append(capture.stacked())
        return Streams(torch.cat(found), fingerprint(texts))

    def _batches(self, texts: Sequence[Example]) -> Iterator[Padded]:
        for start in range(0, len(texts), BATCH):
            yield Padded.of(self._ids(texts[start : start + BATCH]))

    def _ids(self, texts: Sequence[Example]) -> list[list[int]]:
        longest = self.model.shape.context_length
        return [encode(self._tokenizer, text, assistant_only=False)[0][:longest] for text in texts]
