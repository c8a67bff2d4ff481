"""What vLLM's completions endpoint says, in our terms."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from audit_env.errors import ServerError
from audit_env.runtime.request import Generated
from audit_env.runtime.subject import Floats, Scores

_FLOOR = -9999.0
"""What vLLM writes for the log-probability of what is impossible."""


def generated(reply: Mapping[str, Any], end_tokens: frozenset[int]) -> Generated:
    """The answer in a reply.

    Args:
        reply: To a request for one answer, with `return_token_ids`.
        end_tokens: Tokens that end a turn.

    Returns:
        The tokens without the one that ended the turn, and how it ended.

    Raises:
        ServerError: If the answer broke off.
    """
    [choice] = reply["choices"]
    ids, finish = choice.get("token_ids"), choice["finish_reason"]
    if ids is None or finish not in ("stop", "length"):
        raise ServerError(
            f"The vLLM server broke an answer off (finish_reason='{finish}') or does not tell its tokens: see the "
            "server's log, or take a newer vLLM, which knows 'return_token_ids'."
        )
    ended = bool(ids) and ids[-1] in end_tokens
    return Generated(tuple(ids[:-1] if ended else ids), "stop" if ended else "length")


def scores(reply: Mapping[str, Any], said: Sequence[int], top_k: int) -> Scores:
    """The scores of the last tokens of a prompt.

    Args:
        reply: To a request with `prompt_logprobs`.
        said: Those tokens.
        top_k: How many of the likeliest were asked for.

    Returns:
        The scores, which are not exact.
    """
    [choice] = reply["choices"]
    told = choice["prompt_logprobs"][-len(said) :] if said else []
    best = [sorted(place.items(), key=lambda item: item[1]["rank"])[:top_k] for place in told]
    top_logprobs = np.array([[fact["logprob"] for _, fact in row] for row in best], dtype=np.float32)
    top_logprobs = top_logprobs.reshape(len(said), top_k)
    return Scores(
        logprobs=np.array([place[str(token)]["logprob"] for place, token in zip(told, said, strict=True)], np.float32),
        entropy=np.full(len(said), math.nan, dtype=np.float32),
        top_ids=np.array([[int(token) for token, _ in row] for row in best], dtype=np.int64).reshape(len(said), top_k),
        top_logprobs=top_logprobs,
        tail=np.clip(1 - np.exp(top_logprobs.astype(np.float64)).sum(axis=1), 0, 1).astype(np.float32),
        exact=False,
    )


def first_token(reply: Mapping[str, Any], vocab_size: int) -> Floats:
    """The log-probabilities of a reply's one token.

    Args:
        reply: To a request for one token with all `logprobs`, and `return_tokens_as_token_ids`.
        vocab_size: Tokens that there are.

    Returns:
        Nats, `[vocab]`.
    """
    [choice] = reply["choices"]
    [told] = choice["logprobs"]["top_logprobs"]
    logs = np.full(vocab_size, -math.inf, dtype=np.float32)
    for token, log in told.items():
        if log > _FLOOR:
            logs[int(token.removeprefix("token_id:"))] = log
    return logs
