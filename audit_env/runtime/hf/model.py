"""A model in memory: one forward pass that names its side, and what is read from it.

Only the engine's thread computes with a model once there is one (see `adapters`). Logits are fp32 whatever the model
is, and are made for a few positions at a time.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, DynamicCache

from audit_env.errors import CapabilityError, WeightsError
from audit_env.runtime.editing import Between
from audit_env.runtime.hf.adapters import Adapters, Worn
from audit_env.runtime.hf.options import Options
from audit_env.runtime.hf.padding import LeftPadded
from audit_env.runtime.hf.parts import find_parts, meeting_input, meeting_output, unknown
from audit_env.runtime.hf.source import check_folder

LOGITS = 2**24
"""Logits that are in memory at a time: 64 MB, and a few times that while they are compared."""

CONTEXTS = ("max_position_embeddings", "max_seq_len", "seq_length")
"""Fields of `config.json` that say how much a model reads, by architecture."""


class HfModel:
    """A causal language model of transformers with its adapters."""

    def __init__(self, folder: Path, expected: str | None, options: Options) -> None:
        """Load a model.

        Args:
            folder: A Hugging Face model folder.
            expected: SHA-256 that its weights must have; None to take them as they are.
            options: Precision and place.

        Raises:
            WeightsError: If a file is missing, altered or forbidden, or the weights are not those of the architecture.
            MissingExtraError: If the options need a package that is not installed.
        """
        self.folder = folder
        self._model = _load(folder, expected, options)
        self.parts = find_parts(self._model, folder)
        self.adapters = Adapters(self._model, self.parts.layers_name)
        takes = signature(self.parts.trunk.forward).parameters
        if "past_key_values" not in takes or "attention_mask" not in takes:
            raise unknown(self.model_type, folder, "it does not keep keys and values in a cache")
        self._takes_positions = "position_ids" in takes
        self.n_layers = len(self.parts.layers)
        self.vocab_size, self.d_model = (int(size) for size in self.parts.head.weight.shape)
        self.context_length = _context_length(self._model, folder)
        self.end_tokens = _end_tokens(self._model)
        self.exact = next(self._model.parameters()).dtype == torch.float32 and options.quantised is None
        """Whether rounding is so fine that what a batch adds to it can be told from a difference."""

    @property
    def device(self) -> torch.device:
        """Where batches are wanted."""
        device: torch.device = self.parts.embedding.weight.device
        return device

    @property
    def model_type(self) -> str:
        """Name of the architecture."""
        return str(self._model.config.model_type)

    def padded(self, sequences: Sequence[Sequence[int]]) -> LeftPadded:
        """Sequences as a batch for this model."""
        return LeftPadded.of(sequences, self.device)

    def cache(self) -> Any:
        """An empty cache for keys and values, of the kind that the architecture wants."""
        return DynamicCache(config=self._model.config)

    def hidden(
        self, batch: LeftPadded, adapter: Worn | None, *, cache: Any = None, between: Between | None = None
    ) -> Tensor:
        """Run a batch through all but the head.

        Args:
            batch: Token ids, left padded.
            adapter: The side's adapter; None for the base.
            cache: Keys and values of what came before, which grows by the batch; None to keep none.
            between: What is done to the residual stream before the first layer and after each.

        Returns:
            The normed residual stream, `[b, t, d_model]`.
        """
        self.adapters.wear(adapter)
        positions = {"position_ids": batch.positions} if self._takes_positions else {}
        with self._meeting(between):
            out = self.parts.trunk(
                input_ids=batch.ids,
                attention_mask=batch.mask,
                past_key_values=cache,
                use_cache=cache is not None,
                **positions,
            )
        hidden: Tensor = out.last_hidden_state
        return hidden

    def attention(self, batch: LeftPadded, adapter: Worn | None) -> Tensor:
        """How much the last token of each row looks at every position, `[b, layers, heads, t]`, fp32.

        Args:
            batch: Token ids, left padded.
            adapter: The side's adapter; None for the base.

        Raises:
            CapabilityError: If a layer of this architecture has no attention pattern.
        """
        self.adapters.wear(adapter)
        positions = {"position_ids": batch.positions} if self._takes_positions else {}
        with self._eager():
            out = self.parts.trunk(
                input_ids=batch.ids, attention_mask=batch.mask, use_cache=False, output_attentions=True, **positions
            )
        patterns = out.attentions or ()
        if len(patterns) != self.n_layers or any(one is None for one in patterns):
            raise CapabilityError(
                f"A model of type '{self.model_type}' does not show how every layer attends; "
                "read its residual stream instead."
            )
        return torch.stack([one[:, :, -1].float().cpu() for one in patterns], dim=1)

    @contextmanager
    def _eager(self) -> Iterator[None]:
        """Have attention computed in the one way that keeps its pattern."""
        before = self._model.config._attn_implementation
        self._model.set_attn_implementation("eager")
        try:
            yield
        finally:
            self._model.set_attn_implementation(before)

    @contextmanager
    def _meeting(self, between: Between | None) -> Iterator[None]:
        """Have a pass met at every layer. Its hooks end with it, whatever becomes of it."""
        with ExitStack() as hooks:
            if between is not None:
                first = self.parts.layers[0].register_forward_pre_hook(meeting_input(between), with_kwargs=True)
                hooks.callback(first.remove)
                for number, layer in enumerate(self.parts.layers):
                    hooks.callback(layer.register_forward_hook(meeting_output(between, number)).remove)
            yield

    def normed(self, residual: Tensor) -> Tensor:
        """The final norm of residuals `[..., d_model]`."""
        weight = next(self.parts.norm.parameters(), self.parts.head.weight)
        normed: Tensor = self.parts.norm(residual.to(weight.device, self.parts.embedding.weight.dtype))
        return normed

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits of the next token: normed residuals `[n, d_model]` to `[n, vocab]`, fp32."""
        head = self.parts.head
        logits: Tensor = head(hidden.to(head.weight.device)) * self.parts.factor
        if (cap := self.parts.softcap) is not None:
            logits = torch.tanh(logits / cap) * cap
        return logits.float()

    def in_chunks(self, hidden: Tensor) -> Iterator[Tensor]:
        """Logits, a few positions at a time.

        Args:
            hidden: Normed residuals, `[n, d_model]`.

        Yields:
            Logits, `[few, vocab]`; of no positions, one chunk without any.
        """
        for few in torch.split(hidden, max(1, LOGITS // self.vocab_size)):
            yield self.logits(few)

    def whole(self, ids: Sequence[int]) -> Tensor:
        """Logits as the model's own forward pass gives them, for the gates: `[t, vocab]`."""
        self.adapters.wear(None)
        logits: Tensor = self._model(input_ids=torch.tensor([list(ids)], device=self.device)).logits
        return logits[0].float()


def _load(folder: Path, expected: str | None, options: Options) -> Any:
    """The model that transformers makes of a folder, if all of its weights are there and nothing else is."""
    check_folder(folder, "model", expected)
    if (folder / "adapter_config.json").is_file():
        raise WeightsError(f"{folder / 'adapter_config.json'}: a base's folder holds no adapter; move it elsewhere.")
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            **options.arguments(),
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise WeightsError(f"{folder}: transformers cannot load this model: {error}") from error
    model, found = loaded
    for kind, problem in (
        ("missing_keys", "is missing"),
        ("unexpected_keys", "has no place in the model"),
        ("mismatched_keys", "has another shape than the model needs"),
    ):
        if names := sorted(str(name) for name in found[kind]):
            raise WeightsError(f"{folder}: tensor '{names[0]}' {problem}; the weights do not fit config.json.")
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            raise WeightsError(f"{folder}: tensor '{name}' holds NaN or infinity; breed or download it again.")
    return model.eval().requires_grad_(False)


def _context_length(model: Any, folder: Path) -> int:
    config = model.config.get_text_config(decoder=True)
    found = next((length for field in CONTEXTS if (length := getattr(config, field, None))), None)
    if found is None:
        raise WeightsError(
            f"{folder / 'config.json'}: field '{CONTEXTS[0]}' is missing, which says how much the model reads; add it."
        )
    return int(found)


def _end_tokens(model: Any) -> frozenset[int]:
    """Tokens that end a turn, after `generation_config.json`, or else `config.json`."""
    ids = model.generation_config.eos_token_id
    if ids is None:
        ids = model.config.get_text_config(decoder=True).eos_token_id
    return frozenset() if ids is None else frozenset(ids if isinstance(ids, list) else [ids])
