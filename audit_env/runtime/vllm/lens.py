"""What vllm-lens reads and writes: edits and residuals as they cross HTTP.

vllm-lens adds vectors to the residual stream (`apply_steering_vectors`) and hands it out (`output_residual_stream`).
More it can only do by running code that it is sent, and we send none. Notes on how it works (1.3.0):

- A steering vector finds its request by the request's id, which vLLM changes when it is asked for several answers at
  once (`n`): it would then steer none of them. So an edited request asks for one answer.
- What a steered request leaves in the prefix cache would steer others that begin alike: a steered request has a salt of
  its own.
- It counts positions from the first token of a forward pass. So those of the answer are out of its reach while an
  answer is generated, the prompt's first would be hit again by every token, and the others are right only if a prompt
  is read in one pass, which vLLM's chunked prefill does not promise. All positions at once are hit as they should be.
- `norm_match` takes its measure before any edit of the layer.
"""

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import zstandard

from audit_env.errors import CapabilityError, ServerError
from audit_env.runtime.edits import Add, unit_vector
from audit_env.runtime.spans import Placed
from audit_env.runtime.subject import Floats

_SALT_BYTES = 32


def edit_fields(placed: Placed | None, prompt: int, limit: int = 0, *, whole: bool) -> dict[str, Any]:
    """Edits as fields of a request.

    Args:
        placed: The edits of the request, or None.
        prompt: Tokens of its prompt.
        limit: Tokens that are generated at most; 0 where a prompt is only read.
        whole: Whether the server reads every prompt in one pass.

    Returns:
        "vllm_xargs" and "cache_salt"; nothing where there are no edits.

    Raises:
        CapabilityError: If vllm-lens cannot do one of them.
    """
    if placed is None:
        return {}
    adds = list(map(_refusing, placed.edits))
    for number, (add, hit) in enumerate(zip(adds, placed.positions, strict=True)):
        before = zip(adds[:number], placed.positions, strict=False)
        if add.unit == "norm" and any(add.layer == other.layer and _meet(hit, there) for other, there in before):
            raise CapabilityError(
                "The engine 'vllm' measures the residual before all edits of a layer: give an edit with unit='norm' "
                "before the others of its layer that hit the same tokens."
            )
    reached = range(1 if limit else 0, prompt) if whole else range(0)
    vectors = []
    for add, hit in zip(adds, placed.positions, strict=True):
        everywhere = hit == range(prompt + limit)
        if not everywhere and (hit.start < reached.start or hit.stop > reached.stop):
            raise CapabilityError(
                "The engine 'vllm' edits all positions at once, At('all', None); others only in the prompt, from its "
                "second token on, and on a server of its own with AUDIT_ENV_VLLM_ARGUMENTS=--no-enable-chunked-prefill."
            )
        vectors.append(_vector(add, None if everywhere else hit))
    return {
        "vllm_xargs": {"apply_steering_vectors": json.dumps(vectors)},
        "cache_salt": secrets.token_urlsafe(_SALT_BYTES),
    }


def with_residuals(fields: Mapping[str, Any], layers: Sequence[int]) -> dict[str, Any]:
    """Fields of a request that also asks for residuals.

    Args:
        fields: Its edits (see `edit_fields`).
        layers: Blocks after which the residual is read, ascending.

    Returns:
        The fields.
    """
    return {**fields, "vllm_xargs": {**fields.get("vllm_xargs", {}), "output_residual_stream": json.dumps([*layers])}}


def residual_stream(reply: Mapping[str, Any], layers: int, positions: int) -> Floats:
    """The residuals of a reply.

    Args:
        reply: Of the server.
        layers: How many were asked for.
        positions: Tokens of the prompt.

    Returns:
        `[layers, positions, d_model]`, layers ascending.

    Raises:
        ServerError: If they are not in it.
    """
    try:
        told = reply["activations"]["residual_stream"]
        raw = base64.b64decode(told["data"])
        if told.get("compression") == "zstd":
            raw = zstandard.ZstdDecompressor().decompress(raw)
        array = np.frombuffer(raw, dtype=told["dtype"]).reshape(layers, positions, -1)
        if told.get("original_dtype") == "torch.bfloat16":  # its bits, which are the upper half of an fp32's
            return (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    except (KeyError, ValueError, zstandard.ZstdError) as error:
        raise ServerError(
            "The vLLM server sent no residuals, or others than it was asked for: its vLLM and its vllm-lens may not "
            "fit; see the server's log."
        ) from error
    return array.astype(np.float32)


def _meet(one: range, other: range) -> bool:
    return max(one.start, other.start) < min(one.stop, other.stop)


def _refusing(edit: object) -> Add:
    """An edit, if vllm-lens can do it."""
    if not isinstance(edit, Add):
        raise CapabilityError(
            f"The engine 'vllm' can add to the residual stream, and not do '{type(edit).__name__}'; "
            "engines that can: small, hf."
        )
    if edit.layer < 0:
        raise CapabilityError("The engine 'vllm' cannot edit the embedding (layer -1); engines that can: small, hf.")
    return edit


def _vector(add: Add, hit: range | None) -> dict[str, Any]:
    """A steering vector as vllm-lens takes it; None hits all positions."""
    vector = unit_vector(add.vector) if add.unit == "norm" else add.vector
    array = vector[None] if hit is None else np.broadcast_to(vector, (1, len(hit), len(vector)))
    return {
        "activations": {
            "data": base64.b64encode(zstandard.ZstdCompressor().compress(array.tobytes())).decode(),
            "dtype": "float32",
            "original_dtype": "torch.float32",
            "shape": list(array.shape),
            "compression": "zstd",
        },
        "layer_indices": [add.layer],
        "scale": add.scale,
        "norm_match": add.unit == "norm",
        "position_indices": None if hit is None else list(hit),
    }
