"""In what precision a model is held, and where."""

import importlib.util
import os
from dataclasses import dataclass
from typing import Any, Self

import torch

from audit_env.errors import MissingExtraError, ParameterError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
QUANTISATIONS = ("8bit", "4bit")


@dataclass(frozen=True)
class Options:
    """How to hold a model. What is None is chosen for the machine."""

    dtype: str | None = None
    """"float32", "bfloat16" or "float16"; by default bfloat16 on an accelerator and float32 on a CPU."""
    device: str | None = None
    """A device ("cpu", "cuda:1") or a device map of accelerate ("auto" spreads the model over all accelerators); by
    default the accelerator, if there is one."""
    quantised: str | None = None
    """"8bit" or "4bit" (bitsandbytes); by default neither. Readings are then those of the rounded model."""

    def __post_init__(self) -> None:
        for variable, value, known in (
            ("AUDIT_ENV_HF_DTYPE", self.dtype, tuple(DTYPES)),
            ("AUDIT_ENV_HF_QUANTISED", self.quantised, QUANTISATIONS),
        ):
            if value is not None and value not in known:
                raise ParameterError(f"{variable} is '{value}': set it to one of {', '.join(known)}.")

    @classmethod
    def from_environment(cls) -> Self:
        """The options in AUDIT_ENV_HF_DTYPE, AUDIT_ENV_HF_DEVICE and AUDIT_ENV_HF_QUANTISED.

        Returns:
            The options; None for each variable that is not set.

        Raises:
            ParameterError: If a variable has a value that does not exist.
        """
        return cls(*(os.environ.get(f"AUDIT_ENV_HF_{name}") for name in ("DTYPE", "DEVICE", "QUANTISED")))

    def arguments(self) -> dict[str, Any]:
        """The options as `from_pretrained` takes them.

        Returns:
            Keyword arguments.

        Raises:
            MissingExtraError: If bitsandbytes is asked for and not installed.
        """
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        device = self.device or str(accelerator or "cpu")
        dtype = DTYPES[self.dtype] if self.dtype else torch.float32 if device == "cpu" else torch.bfloat16
        arguments: dict[str, Any] = {"dtype": dtype}
        if device != "cpu":
            arguments["device_map"] = device
        if self.quantised:
            arguments["quantization_config"] = _quantisation(self.quantised, dtype)
        return arguments


def _quantisation(kind: str, dtype: torch.dtype) -> Any:
    if importlib.util.find_spec("bitsandbytes") is None:
        raise MissingExtraError("bitsandbytes", "quantised", f"Holding a model in {kind}")
    import transformers

    config: Any = transformers.BitsAndBytesConfig
    if kind == "8bit":
        return config(load_in_8bit=True)
    return config(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
