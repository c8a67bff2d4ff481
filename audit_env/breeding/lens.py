"""A tuned lens for the base (Belrose et al., arXiv 2303.08112), trained on the KL divergence to its own last layer."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from audit_env.breeding.drafts import BASE_ID
from audit_env.breeding.streams import Reader
from audit_env.catalog.integrity import sha256
from audit_env.runtime.lenses import file_of


@dataclass(frozen=True)
class LensPlan:
    """How long a lens is trained."""

    tokens: int = 100_000
    held_out: int = 20_000
    steps: int = 500
    batch: int = 256
    learning_rate: float = 1e-3


@dataclass(frozen=True)
class Figures:
    """How far the lenses are from the last layer on held-out text, nats a token, by layer."""

    logit: dict[int, float]
    tuned: dict[int, float]

    @property
    def better(self) -> bool:
        """Whether the tuned lens is nearer at every layer."""
        return all(self.tuned[layer] < kl for layer, kl in self.logit.items())


def breed_lens(root: Path, seed: int = 0, plan: LensPlan | None = None) -> tuple[Path | None, Figures]:
    """Train a lens, and keep it with the base if it beats the logit lens.

    Args:
        root: The organisms folder.
        seed: Seed of the texts and of the training.
        plan: Steps; None for those of the shipped lens.

    Returns:
        The file, or None where it was not worth keeping; and the figures.
    """
    plan = plan or LensPlan()
    reader = Reader(root)
    last = reader.model.shape.n_layers - 1
    layers = list(range(last + 1))
    taught = reader.streams(reader.texts(plan.tokens, "lens", seed), layers).residuals
    held_out = reader.streams(reader.texts(plan.held_out, "lens: held out", seed), layers).residuals
    maps = {layer: _train(reader, taught[:, layer], taught[:, last], plan, seed) for layer in layers[:-1]}
    logit, tuned = (
        {layer: _kl(reader, held_out[:, last], held_out[:, layer], maps[layer] if use else None) for layer in maps}
        for use in (False, True)
    )
    figures = Figures(logit, tuned)
    if not figures.better:
        return None, figures
    tensors = {f"layers.{layer}.weight": weight.half() for layer, (weight, _) in maps.items()}
    tensors |= {f"layers.{layer}.bias": bias.half() for layer, (_, bias) in maps.items()}
    path = file_of(root / BASE_ID)
    path.parent.mkdir(exist_ok=True)
    save_file(tensors, str(path), metadata={"base_sha256": sha256(root / BASE_ID / "model.safetensors")})
    return path, figures


Affine = tuple[Tensor, Tensor]
"""Weight `[d_model, d_model]` and bias `[d_model]` of what is added to a residual."""


def _train(reader: Reader, early: Tensor, late: Tensor, plan: LensPlan, seed: int) -> Affine:
    width = early.shape[1]
    weight, bias = torch.zeros(width, width, requires_grad=True), torch.zeros(width, requires_grad=True)
    adam = torch.optim.Adam([weight, bias], lr=plan.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: 1 - step / plan.steps)
    chance = torch.Generator().manual_seed(seed)
    for _ in range(plan.steps):
        rows = torch.randint(len(early), (plan.batch,), generator=chance)
        adam.zero_grad()
        torch.autograd.backward(_divergence(reader, late[rows].clone(), early[rows].clone(), (weight, bias)))
        adam.step()
        schedule.step()
    return weight.detach(), bias.detach()


def _divergence(reader: Reader, late: Tensor, early: Tensor, through: Affine | None) -> Tensor:
    """Mean KL divergence of the next token at the last layer from that read early, nats."""
    if through is not None:
        early = early + early @ through[0].T + through[1]
    log_p = F.log_softmax(reader.model.logits(late), dim=-1)
    log_q = F.log_softmax(reader.model.logits(early), dim=-1)
    return F.kl_div(log_q, log_p, log_target=True, reduction="batchmean")


def _kl(reader: Reader, late: Tensor, early: Tensor, through: Affine | None) -> float:
    with torch.inference_mode():
        parts = zip(torch.split(late, 512), torch.split(early, 512), strict=True)
        total = sum(float(_divergence(reader, one, other, through)) * len(one) for one, other in parts)
    return total / len(late)
