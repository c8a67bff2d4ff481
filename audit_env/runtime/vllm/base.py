"""A base on a vLLM server."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

from audit_env.errors import WeightsError
from audit_env.runtime.beside import BesideWeights
from audit_env.runtime.chat import Chat
from audit_env.runtime.hf.source import check_folder
from audit_env.runtime.memo import Memo, Once
from audit_env.runtime.request import Generated
from audit_env.runtime.subject import Floats
from audit_env.runtime.vllm.options import Options
from audit_env.runtime.vllm.server import Server
from audit_env.runtime.vllm.weights import (
    EMBEDDING,
    FAMILIES,
    FINAL_NORM,
    LINEAR_MAPS,
    UNEMBEDDING,
    check_adapter,
    read_tensor,
)

MEMO_ANSWERS = 50_000
"""Of controls, about a kilobyte each."""


@dataclass(frozen=True)
class Sizes:
    """What a subject tells of its model."""

    n_layers: int
    d_model: int
    vocab_size: int
    end_tokens: frozenset[int]
    """Tokens that end a turn."""
    plain: bool
    """Whether the weights have the names and the meaning of Llama's."""
    tied: bool
    """Whether the unembedding is the embedding."""
    norm_eps: float

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the configuration.

        Args:
            folder: A Hugging Face model folder.

        Returns:
            The sizes.

        Raises:
            WeightsError: If it is missing, or of an architecture that transformers does not know.
        """
        from transformers import AutoConfig

        try:
            config: Any = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise WeightsError(f"{folder / 'config.json'}: transformers cannot read this model: {error}") from error
        text = config.get_text_config(decoder=True)
        return cls(
            n_layers=int(text.num_hidden_layers),
            d_model=int(text.hidden_size),
            vocab_size=int(text.vocab_size),
            end_tokens=_end_tokens(folder, text),
            plain=config.model_type in FAMILIES and getattr(config, "quantization_config", None) is None,
            tied=bool(text.tie_word_embeddings),
            norm_eps=float(getattr(text, "rms_norm_eps", 0.0)),
        )


class Adapter(NamedTuple):
    """An adapter that the server has."""

    name: str
    """What the server calls it."""
    folder: Path


class VllmBase(BesideWeights):
    """One per model, process and options; every organism made from it shares it."""

    sizes: Sizes

    def __init__(self, folder: Path, expected: str | None = None, options: Options | None = None) -> None:
        """Start a server, or find the one that is there.

        Args:
            folder: A Hugging Face model folder.
            expected: SHA-256 that its weights must have; None to take them as they are.
            options: Of the server; by default those of the environment.

        Raises:
            WeightsError: If a file is missing, altered or forbidden.
            ServerError: If the server cannot be started or reached, or does not serve the base.
            ParameterError: If an option does not exist, or there is no vLLM to start.
        """
        check_folder(folder, "model", expected)
        self.folder = folder
        self.chat = Chat(folder)
        self.sizes = Sizes.read(folder)
        self.engine = Server(folder, options or Options.read({}), LINEAR_MAPS if self.sizes.plain else ())
        self.answers: Once[Generated] = Once(Memo(MEMO_ANSWERS))
        """Of controls, which many audits ask the same."""
        self._adapters: dict[tuple[Path, str | None], Adapter] = {}

    def adapter(self, folder: Path, expected: str | None = None) -> Adapter:
        """An adapter of this base, which the server gets when it is first asked for.

        Args:
            folder: A PEFT adapter folder.
            expected: SHA-256 that its weights must have; None to take them as they are.

        Returns:
            The adapter.

        Raises:
            WeightsError: If a file is missing or altered, or the adapter is more than plain LoRA.
            ServerError: If the server does not take it, or, at a given address, does not have it.
        """
        key = folder, expected
        if key not in self._adapters:
            check_folder(folder, "adapter_model", expected)
            check_adapter(folder)
            self._adapters[key] = Adapter(self.engine.load(folder), folder)
        return self._adapters[key]

    @cached_property
    def embedding(self) -> Floats:
        """The embedding of every token, `[vocab, d_model]`."""
        return read_tensor(self.folder, EMBEDDING)

    @cached_property
    def unembedding(self) -> Floats:
        """The unembedding of every token, `[vocab, d_model]`."""
        return self.embedding if self.sizes.tied else read_tensor(self.folder, UNEMBEDDING)

    @cached_property
    def final_norm(self) -> Floats:
        """The weight of the final norm, `[d_model]`."""
        return read_tensor(self.folder, FINAL_NORM)


def _end_tokens(folder: Path, config: Any) -> frozenset[int]:
    """The end tokens of `generation_config.json`, which takes precedence, or of `config.json`."""
    from transformers import GenerationConfig

    try:
        ids = GenerationConfig.from_pretrained(folder, local_files_only=True).eos_token_id
    except OSError:
        ids = None
    if ids is None:
        ids = config.eos_token_id
    return frozenset() if ids is None else frozenset(ids if isinstance(ids, list) else [ids])
