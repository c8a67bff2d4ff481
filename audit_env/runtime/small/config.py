"""What the engine needs to know of a Llama-architecture model, read from an ordinary Hugging Face folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from audit_env.errors import WeightsError
from audit_env.runtime.files import read_json

MUST_BE_UNSET = ("attention_bias", "mlp_bias", "quantization_config", "sliding_window")
"""Settings that change the computation in ways this engine does not know."""


@dataclass(frozen=True)
class Shape:
    """Sizes and constants of a Llama-architecture model."""

    n_layers: int
    d_model: int
    d_mlp: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    vocab_size: int
    context_length: int
    rope_theta: float
    norm_eps: float
    tied: bool
    """Whether the unembedding is the embedding."""
    end_tokens: frozenset[int]
    """Tokens that end a turn."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read `config.json` and, where there is one, `generation_config.json`.

        Args:
            folder: A Hugging Face model folder.

        Returns:
            The shape.

        Raises:
            WeightsError: If the file is missing or unreadable, or describes a model that this engine does not compute.
        """
        path = folder / "config.json"
        config = read_json(path)
        for name, known in (("model_type", "llama"), ("hidden_act", "silu")):
            if config.get(name, known) != known:
                raise WeightsError(
                    f"{path}: field '{name}' is '{config[name]}', and the small engine computes only '{known}': "
                    "use another engine."
                )
        for name in MUST_BE_UNSET:
            if config.get(name):
                raise WeightsError(f"{path}: field '{name}' is set, which the small engine does not compute.")
        rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind != "default":
            raise WeightsError(f"{path}: rope type '{kind}' is not computed by the small engine: use another engine.")
        try:
            return cls(
                n_layers=int(config["num_hidden_layers"]),
                d_model=int(config["hidden_size"]),
                d_mlp=int(config["intermediate_size"]),
                n_heads=int(config["num_attention_heads"]),
                n_kv_heads=int(config.get("num_key_value_heads") or config["num_attention_heads"]),
                d_head=int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]),
                vocab_size=int(config["vocab_size"]),
                context_length=int(config["max_position_embeddings"]),
                # transformers 5 moved theta under rope_parameters; 10,000 is the architecture's default.
                rope_theta=float(rope.get("rope_theta", config.get("rope_theta", 10_000.0))),
                norm_eps=float(config["rms_norm_eps"]),
                tied=bool(config.get("tie_word_embeddings", False)),
                end_tokens=_end_tokens(folder, config),
            )
        except KeyError as error:
            raise WeightsError(f"{path}: field {error} is missing; is this a Llama model's folder?") from error


def _end_tokens(folder: Path, config: dict[str, Any]) -> frozenset[int]:
    """The end tokens of `generation_config.json`, which takes precedence, or of `config.json`."""
    generation = folder / "generation_config.json"
    given = read_json(generation).get("eos_token_id") if generation.is_file() else None
    ids = config.get("eos_token_id") if given is None else given
    if ids is None:
        return frozenset()
    return frozenset(ids if isinstance(ids, list) else [ids])
