"""Adapters that put other models into words: activation oracles and introspection adapters.

Both are LoRA adapters of the target's base, in PEFT folders that somebody else has trained. A run names them in the
environment. An oracle answers questions about vectors that are put in the place of words of its prompt (Karvonen et
al., arXiv 2512.15674). An introspection adapter is worn on top of a fine-tuned model's own and makes it tell what it
was taught.

Beside its weights the folder of an oracle may hold `verbaliser.yaml`, which says how it was trained to be asked; where
it does not, the protocol of the published oracles holds. Not yet run with the published ones.
"""

import json
import os
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import yaml
from inspect_ai.tool import ToolError
from pydantic import Field, ValidationError
from safetensors.numpy import save_file

from audit_env.catalog.models import Strict
from audit_env.errors import WeightsError
from audit_env.runtime import cast
from audit_env.runtime.edits import Add, At, Edit, Replace, Vector
from audit_env.runtime.subject import LoraFactors, Subject

Verbaliser = Literal["oracle", "introspection"]
VARIABLES: Mapping[Verbaliser, str] = {
    "oracle": "AUDIT_ENV_ORACLE",
    "introspection": "AUDIT_ENV_INTROSPECTION",
}
"""Environment variables that name the PEFT folders."""

_SAYS = "verbaliser.yaml"


class Asking(Strict):
    """How an oracle is asked about vectors. The defaults are those of the published oracles."""

    prompt: str = "Layer {layer}: {places} {question}"
    place: str = "?"
    """The word in whose places the vectors are put; a single token."""
    places: int = Field(default=3, ge=1)
    block: int = Field(default=1, ge=-1)
    """Block after which they are put in; -1 for the embedding."""
    how: Literal["add", "replace"] = "add"
    """add: the direction is added, as long as the residual there. replace: the vector itself takes its place."""

    def asked(self, question: str, layer: int) -> str:
        """The prompt for a question about vectors that were read after a block."""
        return self.prompt.format(layer=layer, places=" ".join([self.place] * self.places), question=question)

    def edit(self, vector: Vector, at: At) -> Edit:
        """What is done to the oracle's residual stream at one place."""
        if self.how == "add":
            return Add(self.block, vector, at, 1.0, "norm")
        return Replace(self.block, vector, at)


class Questions(Strict):
    """What verbalisers are asked where the auditor asks nothing of its own."""

    oracle: str = Field(min_length=1)
    introspection: tuple[str, ...] = Field(min_length=1)


@cache
def questions() -> Questions:
    """Read the questions that come with the tools."""
    text = files(__package__).joinpath("verbalisers.yaml").read_text(encoding="utf-8")
    return Questions.model_validate(yaml.safe_load(text))


def named_folder(which: Verbaliser) -> Path | None:
    """The folder that this run names.

    Args:
        which: Which kind of adapter.

    Returns:
        The folder, or None where none is named.
    """
    name = os.environ.get(VARIABLES[which])
    return Path(name) if name else None


def folder_of(which: Verbaliser, instead: str) -> Path:
    """The folder that this run names, for a tool.

    Args:
        which: Which kind of adapter.
        instead: Tools that the auditor may use in its place.

    Returns:
        The folder.

    Raises:
        ToolError: If none is named, or it is no PEFT folder.
    """
    folder = named_folder(which)
    if folder is None:
        raise ToolError(f"This run names no adapter for this tool ({VARIABLES[which]} is not set): use {instead}.")
    if not (folder / "adapter_config.json").is_file():
        raise ToolError(f"What {VARIABLES[which]} names is no PEFT folder: use {instead}.")
    return folder


def asking(folder: Path) -> Asking:
    """How an oracle is asked.

    Args:
        folder: Its folder.

    Returns:
        What its `verbaliser.yaml` says, or the published protocol where it has none.

    Raises:
        ToolError: If the file is malformed.
    """
    path = folder / _SAYS
    if not path.is_file():
        return Asking()
    try:
        found = Asking.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        found.asked("question", 0)
    except (yaml.YAMLError, ValidationError, LookupError, ValueError) as error:
        raise ToolError(f"The oracle's {_SAYS} is malformed: its owner must correct it.") from error
    return found


def worn(alias: str, folder: Path) -> Subject:
    """The base behind an alias, wearing an adapter.

    Args:
        alias: Of the target, or of what stands in for it.
        folder: The adapter's folder.

    Returns:
        A handle whose side "target" wears it.

    Raises:
        ToolError: If the adapter does not fit.
    """
    try:
        return cast.wearing(alias, folder)
    except WeightsError as error:
        raise ToolError("The adapter that this run names for this tool is not one of this target's base.") from error


def worn_together(alias: str, *adapters: Mapping[str, LoraFactors]) -> Subject:
    """The base behind an alias, wearing several adapters at once.

    Args:
        alias: Of the target, or of what stands in for it.
        *adapters: Factors by module, as `Subject.lora` gives them.

    Returns:
        A handle whose side "target" wears their sum.

    Raises:
        ToolError: If there is nothing to wear.
    """
    joined = summed(*adapters)
    if not joined:
        raise ToolError("There is no adapter to wear: the target is its base.")
    return worn(alias, _kept(joined))


def summed(*adapters: Mapping[str, LoraFactors]) -> dict[str, LoraFactors]:
    """The sum of low-rank updates, as one.

    Args:
        *adapters: Factors by module.

    Returns:
        Factors by module, of scale 1 and all of one rank: the ranks of a module's updates add up, and zeros fill up.
    """
    parts = {module: [one[module] for one in adapters if module in one] for one in adapters for module in one}
    rank = max((sum(len(one.a) for one in found) for found in parts.values()), default=0)
    made = {}
    for module, found in parts.items():
        a = np.concatenate([one.a for one in found])
        b = np.concatenate([one.scale * one.b for one in found], axis=1)
        more = rank - len(a)
        made[module] = LoraFactors(
            np.pad(a, ((0, more), (0, 0))).astype(np.float32), np.pad(b, ((0, 0), (0, more))).astype(np.float32), 1.0
        )
    return made


def _kept(adapter: Mapping[str, LoraFactors]) -> Path:
    """A PEFT folder of an adapter of scale 1. It stays, since a vLLM server reads it again at any time."""
    digest = sha256()
    for module, factors in sorted(adapter.items()):
        for part in (module.encode(), factors.a.tobytes(), factors.b.tobytes()):
            digest.update(part)
    folder = Path(_scratch().name) / digest.hexdigest()
    if not folder.is_dir():
        folder.mkdir()
        _write(folder, adapter)
    return folder


@cache
def _scratch() -> "TemporaryDirectory[str]":
    """Ends with the process."""
    return TemporaryDirectory(prefix="audit-env-adapters-")


def _write(folder: Path, adapter: Mapping[str, LoraFactors]) -> None:
    """Write an adapter of scale 1 as a PEFT folder."""
    rank = len(next(iter(adapter.values())).a)
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": rank, "bias": "none"}
    config["target_modules"] = sorted({module.rpartition(".")[2] for module in adapter})
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    tensors = {}
    for module, factors in adapter.items():
        tensors[f"base_model.model.model.{module}.lora_A.weight"] = np.ascontiguousarray(factors.a)
        tensors[f"base_model.model.model.{module}.lora_B.weight"] = np.ascontiguousarray(factors.b)
    save_file(tensors, folder / "adapter_model.safetensors")
