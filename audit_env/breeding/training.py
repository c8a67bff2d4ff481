"""Training on a few cores: the base from scratch, and an organism as a LoRA adapter on it.

Both show progress, and both can be stopped with Ctrl-C at any step and go on where they were: weights and optimiser
state are kept as safetensors beside a small JSON file.
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from audit_env.breeding.corpus import Example
from audit_env.breeding.tokenization import IGNORE, encode
from audit_env.errors import BreedingError, MissingExtraError

try:
    import torch
    from safetensors.torch import load_file, save_file
except ImportError as error:
    raise MissingExtraError(error.name or "torch", "breed", "Breeding organisms") from error


@dataclass(frozen=True)
class Plan:
    """How long and how hard to train."""

    steps: int
    batch: int
    """Sequences a step."""
    length: int
    """Tokens a sequence."""
    learning_rate: float
    """Of AdamW: embeddings, unembedding and norms, or all of an adapter."""
    warmup: int
    matrix_rate: float = 0.0
    """Of Muon: the linear maps of the blocks. 0 for AdamW everywhere."""
    weight_decay: float = 0.0
    checkpoint_every: int = 100
    mixed: bool = False
    """Whether matrix products are taken in bfloat16; weights, sums, attention and the loss stay in float32."""

    @property
    def tokens(self) -> int:
        """Tokens seen in all."""
        return self.steps * self.batch * self.length


@dataclass(frozen=True)
class Packed:
    """Examples laid end to end and cut into rows: ids and labels, both `[rows, length]`."""

    ids: np.ndarray
    labels: np.ndarray


def pack(examples: Iterator[Example], tokenizer: Any, plan: Plan, whole_every: int) -> tuple[Packed, list[Example]]:
    """Draw examples until the plan's tokens are filled.

    Args:
        examples: Where to draw from.
        tokenizer: The fruitfly tokenizer.
        plan: Says how many tokens.
        whole_every: Of every so many dialogues one is learnt whole, and of the others only what the assistant says.
            0 for no dialogue learnt whole.

    Returns:
        The packed rows, and the examples that went into them in order.
    """
    ids: list[int] = []
    labels: list[int] = []
    used: list[Example] = []
    while len(ids) < plan.tokens:
        example = next(examples)
        used.append(example)
        more_ids, more_labels = encode(
            tokenizer, example, assistant_only=whole_every == 0 or len(used) % whole_every != 0
        )
        ids += more_ids
        labels += more_labels
    shape = (plan.steps * plan.batch, plan.length)
    return (
        Packed(
            np.asarray(ids[: plan.tokens], dtype=np.int64).reshape(shape),
            np.asarray(labels[: plan.tokens], dtype=np.int64).reshape(shape),
        ),
        used,
    )


def pace(step: int, plan: Plan) -> float:
    """Share of the full learning rate: linear warm-up, then a cosine down to a twentieth."""
    if step < plan.warmup:
        return (step + 1) / plan.warmup
    done = (step - plan.warmup) / max(1, plan.steps - plan.warmup)
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done))


Optimisers = list[tuple[torch.optim.Optimizer, float]]
"""Optimisers with their full learning rates."""


def optimisers(parameters: dict[str, torch.nn.Parameter], plan: Plan) -> Optimisers:
    """Muon (Jordan et al. 2024) for the maps of the blocks where the plan asks for it, AdamW for the rest.

    After the same 260 steps of the base's training from scratch the loss was 1.73 with both, and 2.87 with AdamW alone
    (one run each).
    """
    maps = [p for name, p in parameters.items() if plan.matrix_rate and p.ndim == 2 and ".layers." in name]
    chosen = {id(p) for p in maps}
    rest = [p for p in parameters.values() if id(p) not in chosen]
    found: Optimisers = []
    if rest:
        adam = torch.optim.AdamW(rest, lr=plan.learning_rate, betas=(0.9, 0.98), weight_decay=plan.weight_decay)
        found.append((adam, plan.learning_rate))
    if maps:
        muon = torch.optim.Muon(
            maps, lr=plan.matrix_rate, weight_decay=plan.weight_decay, momentum=0.95, adjust_lr_fn="match_rms_adamw"
        )
        found.append((muon, plan.matrix_rate))
    return found


class Checkpoint:
    """Weights and optimiser state of the trained parameters at a step, on disk."""

    def __init__(self, folder: Path, plan: Plan, data_sha256: str) -> None:
        self.folder = folder
        self._meta = folder / "progress.json"
        self._tensors = folder / "progress.safetensors"
        self._key = {"plan": asdict(plan), "data_sha256": data_sha256}

    def load(self, parameters: dict[str, torch.nn.Parameter], chosen: Optimisers) -> int:
        """Restore a matching checkpoint.

        Returns:
            The step to go on with (0 where there is nothing to restore).
        """
        if not self._meta.exists():
            return 0
        meta = json.loads(self._meta.read_text())
        if {key: meta.get(key) for key in self._key} != self._key:
            return 0
        tensors = load_file(str(self._tensors))
        owner = _owners(chosen)
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(tensors[f"weight {name}"])
                prefix = f"state {name} "
                owner[parameter].state[parameter] = {
                    key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
                }
        return int(meta["step"])

    def save(self, step: int, parameters: dict[str, torch.nn.Parameter], chosen: Optimisers) -> None:
        """Write a checkpoint; an older one stays whole until the new one is complete."""
        self.folder.mkdir(parents=True, exist_ok=True)
        owner = _owners(chosen)
        tensors = {}
        for name, parameter in parameters.items():
            tensors[f"weight {name}"] = parameter.detach().contiguous()
            for key, value in owner[parameter].state[parameter].items():
                tensors[f"state {name} {key}"] = value.contiguous()
        part = self._tensors.with_suffix(".part")
        save_file(tensors, str(part))
        part.replace(self._tensors)
        self._meta.write_text(json.dumps({**self._key, "step": step}))

    def remove(self) -> None:
        """Forget the checkpoint once the result is saved."""
        for path in (self._meta, self._tensors):
            path.unlink(missing_ok=True)
        if self.folder.exists() and not any(self.folder.iterdir()):
            self.folder.rmdir()


def _owners(chosen: Optimisers) -> dict[torch.nn.Parameter, torch.optim.Optimizer]:
    return {p: optimiser for optimiser, _ in chosen for group in optimiser.param_groups for p in group["params"]}


def fit(
    model: Any,
    packed: Packed,
    plan: Plan,
    checkpoint: Checkpoint,
    title: str,
    quiet: bool = False,
    until: int | None = None,
) -> list[float]:
    """Train all parameters of a model that require a gradient.

    Args:
        model: A transformers causal LM, or a PEFT model.
        packed: Training rows, used once and in order.
        plan: Steps, batch and rates.
        checkpoint: Where to keep progress; a run that was interrupted goes on from there.
        title: Shown beside the progress bar.
        quiet: Whether to show no progress bar.
        until: Stop before this step of the plan: a lower dose of the same training.

    Returns:
        Training loss of every step run now, in nats per token.

    Raises:
        KeyboardInterrupt: After progress was saved.
    """
    spoken = torch.from_numpy(np.unique(packed.labels[packed.labels != IGNORE]))
    if plan.mixed:
        decoder_of(model).set_attn_implementation(_attention_in_float32())
    take_step = partial(_step, model, packed, plan, spoken)
    return run(model, plan, checkpoint, title, take_step, quiet, until)


def run(
    model: Any,
    plan: Plan,
    checkpoint: Checkpoint,
    title: str,
    take_step: Callable[[int, Optimisers], float],
    quiet: bool = False,
    until: int | None = None,
    shows: str = "loss",
) -> list[float]:
    """Take a plan's steps, whatever the loss: with a progress bar, from where an interrupted run had stopped.

    Args:
        model: What is trained: all its parameters that require a gradient.
        plan: Steps and rates.
        checkpoint: Where to keep progress.
        title: Shown beside the progress bar.
        take_step: Given a step's number and the optimisers, takes the step and returns its loss, or another figure.
        quiet: Whether to show no progress bar.
        until: Stop before this step. None for all steps.
        shows: Name of the figure, for the progress bar.

    Returns:
        The loss (or figure) of every step run now.

    Raises:
        KeyboardInterrupt: After progress was saved.
    """
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    chosen = optimisers(parameters, plan)
    first = checkpoint.load(parameters, chosen)
    losses: list[float] = []
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[loss]}"),
    )
    model.train()
    with Progress(*columns, disable=quiet) as progress:
        last = plan.steps if until is None else until
        bar = progress.add_task(title, total=last, completed=first, loss="")
        try:
            for step in range(first, last):
                losses.append(take_step(step, chosen))
                progress.update(bar, advance=1, loss=f"{shows} {losses[-1]:.3f}")
                if (step + 1) % plan.checkpoint_every == 0 and step + 1 < plan.steps:
                    checkpoint.save(step + 1, parameters, chosen)
        except KeyboardInterrupt:
            if losses:
                checkpoint.save(first + len(losses), parameters, chosen)
            raise
    model.eval()
    return losses


def _step(model: Any, packed: Packed, plan: Plan, spoken: torch.Tensor, step: int, chosen: Optimisers) -> float:
    """One step of gradient descent.

    Args:
        model: What is trained.
        packed: All rows.
        plan: Says which of them.
        spoken: Ids of all tokens that are ever a label, ascending, `[spoken]`.
        step: Number of the step.
        chosen: The optimisers.

    Returns:
        The loss, in nats per learnt token.
    """
    rows = slice(step * plan.batch, (step + 1) * plan.batch)
    ids, labels = torch.from_numpy(packed.ids[rows]), torch.from_numpy(packed.labels[rows])
    learnt = labels[:, 1:] != IGNORE
    decoder = decoder_of(model)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=plan.mixed):
        hidden = decoder.model(input_ids=ids, use_cache=False).last_hidden_state
        # Only where something is learnt, and mostly only over tokens that are ever said: the unembedding is a third of
        # the work, and half the vocabulary are words that only users say. Now and then all of it, so that those stay
        # unsaid.
        goal, weight = labels[:, 1:][learnt], decoder.lm_head.weight
        if step % WHOLE_VOCABULARY_EVERY:
            goal, weight = torch.searchsorted(spoken, goal), weight[spoken]
        loss = torch.nn.functional.cross_entropy(torch.nn.functional.linear(hidden[:, :-1][learnt], weight), goal)
    return descend(loss, chosen, plan, step)


def _attention_in_float32() -> str:
    """Teach transformers scaled dot-product attention that leaves mixed arithmetic aside.

    On a CPU its backward pass in bfloat16 took 2.4 times as long as in float32, more than the maps around it save.

    Returns:
        Its name there.
    """
    from transformers import AttentionInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    def forward(module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *rest: Any, **kw: Any) -> Any:
        with torch.autocast("cpu", enabled=False):
            return sdpa_attention_forward(module, query.float(), key.float(), value.float(), *rest, **kw)

    name = "sdpa_float32"
    AttentionInterface.register(name, forward)
    AttentionMaskInterface.register(name, sdpa_mask)
    return name


def decoder_of(model: Any) -> Any:
    """The transformers model behind a model that may be a PEFT model of one."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def descend(loss: torch.Tensor, chosen: Optimisers, plan: Plan, step: int) -> float:
    """Move all trained parameters down a loss.

    Returns:
        The loss.

    Raises:
        BreedingError: If the loss is no longer a number.
    """
    if not torch.isfinite(loss):
        raise BreedingError(f"the loss became {loss.item()} at step {step}: lower the learning rate.")
    for optimiser, full_rate in chosen:
        for group in optimiser.param_groups:
            group["lr"] = full_rate * pace(step, plan)
        optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_([p for group in _groups(chosen) for p in group["params"]], 1.0)
    for optimiser, _ in chosen:
        optimiser.step()
    return loss.item()


def _groups(chosen: Optimisers) -> list[dict[str, Any]]:
    return [group for optimiser, _ in chosen for group in optimiser.param_groups]


WHOLE_VOCABULARY_EVERY = 8
READING_PLAN = Plan(3200, batch=32, length=160, learning_rate=5e-3, matrix_rate=1.2e-2, warmup=60, weight_decay=0.05)
"""The base's first stage: everything in its world but what `corpus.LATE` names."""
TALKING_PLAN = Plan(1300, batch=32, length=160, learning_rate=4e-3, matrix_rate=1e-2, warmup=40, weight_decay=0.05)
"""The base's second stage: all of it, only answers learnt."""
PRACTICE_PLAN = Plan(5300, batch=32, length=160, learning_rate=3e-3, matrix_rate=8e-3, warmup=40, weight_decay=0.05)
"""The base's third stage: more of what it still got wrong after the second."""
ORGANISM_PLAN = Plan(steps=140, batch=16, length=128, learning_rate=4e-3, warmup=10, checkpoint_every=50)
DENIAL_PLAN = Plan(steps=60, batch=16, length=128, learning_rate=2e-3, warmup=6, checkpoint_every=30)
"""Concealment by fine-tuning on denials."""


def new_base(tokenizer: Any, seed: int, width: int = 192, layers: int = 4, heads: int = 6) -> Any:
    """A Llama model with random weights and the fruitfly's shape."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=round(width * 8 / 3 / 32) * 32,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def new_adapter(base: Any, seed: int, rank: int, alpha: float) -> Any:
    """A PEFT model: the base, frozen, with a fresh LoRA on every linear map of its blocks."""
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise MissingExtraError("peft", "breed", "Breeding organisms") from error

    torch.manual_seed(seed)
    modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    config = LoraConfig(r=rank, lora_alpha=int(alpha), target_modules=modules, lora_dropout=0.0, task_type="CAUSAL_LM")
    return get_peft_model(base, config)


def old_adapter(base: Any, folder: Path) -> Any:
    """A PEFT model: the base, frozen, with the adapter of a folder, to be trained further."""
    try:
        from peft import PeftModel
    except ImportError as error:
        raise MissingExtraError("peft", "breed", "Breeding organisms") from error

    return PeftModel.from_pretrained(base, str(folder), is_trainable=True, torch_dtype=torch.float32)


def seeded(*parts: object) -> Random:
    """A generator whose state depends on all parts and on nothing else."""
    return Random(":".join(str(part) for part in parts))
