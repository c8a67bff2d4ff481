"""How a vLLM server is started, or where one is, and how it is asked."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self, get_args, get_type_hints

from audit_env.errors import ParameterError

_PREFIX = "AUDIT_ENV_VLLM_"


@dataclass(frozen=True)
class Options:
    """Every field is an environment variable (AUDIT_ENV_VLLM_DTYPE) and a model argument (`-M dtype=bfloat16`)."""

    url: str | None = None
    """Address of a running server, such as `http://localhost:8000`; by default a server is started."""
    api_key: str | None = None
    """Key of the server at `url`, if it wants one. Only by environment: model arguments stand in logs."""
    python: str | None = None
    """The Python that has vLLM and starts the server; by default this one."""
    dtype: str | None = None
    """As vLLM's `--dtype`; by default what vLLM chooses: that of the weights, but 16 bits for those in fp32."""
    max_model_len: int | None = None
    """Tokens that the server reads at most, answer included; by default as many as the model."""
    tensor_parallel: int = 1
    """Accelerators that each layer is spread over."""
    pipeline_parallel: int = 1
    """Accelerators, or groups of them, that the layers are spread over."""
    lora_rank: int = 64
    """Largest rank of an adapter. Every adapter takes as much memory as one of this rank."""
    adapters: int = 4
    """Adapters that are computed at the same time; requests of others wait."""
    arguments: str = ""
    """More arguments of vLLM's server, as in a shell: `--gpu-memory-utilization 0.8`."""
    start_seconds: int = 1800
    """How long the server may take to load the model."""
    timeout: int = 600
    """Seconds after which an unanswered request is given up."""
    concurrency: int = 256
    """Requests that are sent at the same time."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int) and value < 1:
                raise ParameterError(f"{_PREFIX}{field.name.upper()} is {value}: set it to 1 or more.")
        try:
            shlex.split(self.arguments)
        except ValueError as error:
            raise ParameterError(f"{_PREFIX}ARGUMENTS cannot be read as in a shell ({error}): mend it.") from error

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        """The options that are given, and the environment's for all others.

        Args:
            given: Options by name, as numbers or text.

        Returns:
            The options.

        Raises:
            ParameterError: If an option does not exist or has a value of the wrong kind.
        """
        known = get_type_hints(cls)
        if unknown := sorted(set(given) - set(known)):
            raise ParameterError(f"{unknown[0]}=...: the options of the engine 'vllm' are {', '.join(known)}.")
        variables = {name: os.environ.get(f"{_PREFIX}{name.upper()}") for name in known}
        stated = {name: value for name, value in variables.items() if value is not None} | dict(given)
        return cls(**{name: _as(name, known[name], value) for name, value in stated.items() if value is not None})


def _as(name: str, kind: Any, value: Any) -> Any:
    """A value as its field holds it."""
    if int not in (kind, *get_args(kind)):
        return str(value)
    if not str(value).isdecimal():
        raise ParameterError(f"{_PREFIX}{name.upper()} is '{value}': set it to a whole number, 1 or more.")
    return int(value)
