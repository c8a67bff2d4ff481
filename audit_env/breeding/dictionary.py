"""A sparse dictionary of the base's residual stream: a TopK autoencoder (Gao et al., arXiv 2406.04093).

Saved as SAELens saves one, with a card beside it. Trained on the base alone, so that it knows no organism.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
import yaml
from safetensors.torch import save_file
from torch import Tensor

from audit_env.breeding.drafts import BASE_ID, LICENCE, move
from audit_env.breeding.streams import Reader
from audit_env.catalog.dictionaries import FILE, DictionaryCard
from audit_env.catalog.integrity import sha256
from audit_env.runtime.dictionaries import CONFIG, WEIGHTS

FOLDER = "fruitfly/sae"


@dataclass(frozen=True)
class DictionaryPlan:
    """How large a dictionary is, and how long it is trained."""

    latents: int = 768
    k: int = 24
    """Latents that may be on at a time."""
    tokens: int = 300_000
    held_out: int = 30_000
    steps: int = 1_200
    batch: int = 2_048
    learning_rate: float = 2e-3
    dead_after: int = 100
    """Steps without being on after which a latent counts as dead, and is taught on what the others leave over."""


class Autoencoder:
    """A TopK autoencoder in training. Residuals are divided by their mean length, which `folded` undoes."""

    def __init__(self, residuals: Tensor, plan: DictionaryPlan, seed: int) -> None:
        """Start from random directions, around the mean of the residuals.

        Args:
            residuals: `[n, d_model]`
            plan: Sizes.
            seed: Of the directions.
        """
        self._plan = plan
        self.scale = float(residuals.norm(dim=1).mean())
        directions = torch.randn(plan.latents, residuals.shape[1], generator=torch.Generator().manual_seed(seed))
        self.decoder = F.normalize(directions, dim=1).requires_grad_()
        self.encoder = self.decoder.detach().T.clone().requires_grad_()
        self.encoder_bias = torch.zeros(plan.latents, requires_grad=True)
        self.decoder_bias = (residuals.mean(dim=0) / self.scale).requires_grad_()
        self._idle = torch.zeros(plan.latents)

    @property
    def parameters(self) -> list[Tensor]:
        """All that is learnt."""
        return [self.encoder, self.encoder_bias, self.decoder, self.decoder_bias]

    def loss(self, batch: Tensor) -> Tensor:
        """Squared error of a batch `[n, d_model]`, and that of dead latents on what is left over."""
        x = batch / self.scale
        before = (x - self.decoder_bias) @ self.encoder + self.encoder_bias
        on = _largest(before, self._plan.k)
        left = x - on @ self.decoder - self.decoder_bias
        error = left.pow(2).sum(dim=1).mean()
        self._idle = torch.where((on > 0).any(dim=0), 0.0, self._idle + 1)
        dead = self._idle > self._plan.dead_after
        if not dead.any():
            return error
        reserve = _largest(before.masked_fill(~dead, -torch.inf), min(int(dead.sum()), x.shape[1] // 2))
        return error + (left.detach() - reserve @ self.decoder).pow(2).sum(dim=1).mean() / 32

    def unit(self) -> None:
        """Bring every direction back to length 1."""
        with torch.no_grad():
            self.decoder.copy_(F.normalize(self.decoder, dim=1))

    def folded(self) -> dict[str, Tensor]:
        """Weights that read residuals as they are, by their names in SAELens, in half precision."""
        with torch.no_grad():
            weights = {
                "W_enc": self.encoder,
                "b_enc": self.encoder_bias * self.scale,
                "W_dec": self.decoder,
                "b_dec": self.decoder_bias * self.scale,
            }
        return {name: one.detach().contiguous().half() for name, one in weights.items()}


class Spliced:
    """Puts a dictionary's reconstruction in the place of the residual stream after one block."""

    def __init__(self, layer: int, weights: dict[str, Tensor], k: int) -> None:
        self._layer, self._k = layer, k
        self._weights = {name: one.float() for name, one in weights.items()}

    def __call__(self, layer: int, x: Tensor, among: Tensor | None = None) -> Tensor:
        """Meet the residual stream (see `editing.Between`)."""
        return self.reconstructed(x)[0] if layer == self._layer else x

    def reconstructed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The reconstruction of residuals `[n, d_model]`, and what is on, `[n, latents]`."""
        w = self._weights
        on = _largest((x - w["b_dec"]) @ w["W_enc"] + w["b_enc"], self._k)
        return on @ w["W_dec"] + w["b_dec"], on


def breed_dictionary(
    root: Path, work: Path, layer: int | None = None, seed: int = 0, plan: DictionaryPlan | None = None
) -> tuple[Path, DictionaryCard]:
    """Train a dictionary of the base and put it beside the base.

    Args:
        root: The organisms folder.
        work: Where it is kept until it is complete.
        layer: Block after which the residual stream is read; None for the middle one.
        seed: Seed of the texts and of the training.
        plan: Sizes and steps; None for those of the shipped dictionary.

    Returns:
        Its folder and its card.
    """
    plan = plan or DictionaryPlan()
    reader = Reader(root)
    layer = reader.model.shape.n_layers // 2 if layer is None else layer
    last = reader.model.shape.n_layers - 1
    taught = reader.streams(reader.texts(plan.tokens, "dictionary", seed), [layer])
    weights = _train(taught.residuals[:, 0], plan, seed)
    texts = reader.texts(plan.held_out, "dictionary: held out", seed)
    held_out = reader.streams(texts, [layer, last])
    spliced = Spliced(layer, weights, plan.k)
    rebuilt, on = spliced.reconstructed(held_out.residuals[:, 0])
    left = (held_out.residuals[:, 0] - rebuilt).pow(2).sum()
    spread = (held_out.residuals[:, 0] - held_out.residuals[:, 0].mean(dim=0)).pow(2).sum()
    after = reader.streams(texts, [last], spliced).residuals[:, 0]
    draft = work / "dictionary"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    save_file(weights, str(draft / WEIGHTS))
    (draft / CONFIG).write_text(json.dumps(_config(layer, weights, plan), indent=2) + "\n", encoding="utf-8")
    card = DictionaryCard(
        base=BASE_ID,
        base_sha256=sha256(root / BASE_ID / "model.safetensors"),
        sha256=sha256(draft / WEIGHTS),
        layer=layer,
        latents=plan.latents,
        tokens=len(taught.residuals),
        steps=plan.steps,
        seed=seed,
        data_sha256=taught.data_sha256,
        held_out_tokens=len(held_out.residuals),
        fvu=round(float(left / spread), 4),
        l0=round(float((on > 0).sum(dim=1).float().mean()), 2),
        alive=int((on > 0).any(dim=0).sum()),
        kl=round(_kl(reader, held_out.residuals[:, 1], after), 4),
        licence=LICENCE,
    )
    text = yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False)
    (draft / FILE).write_text(text, encoding="utf-8")
    return move(draft, root / FOLDER), card


def _train(residuals: Tensor, plan: DictionaryPlan, seed: int) -> dict[str, Tensor]:
    model = Autoencoder(residuals, plan, seed)
    adam = torch.optim.Adam(model.parameters, lr=plan.learning_rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: min(1.0, 5 * (1 - step / plan.steps)))
    chance = torch.Generator().manual_seed(seed)
    for _ in range(plan.steps):
        batch = residuals[torch.randint(len(residuals), (plan.batch,), generator=chance)]
        adam.zero_grad()
        torch.autograd.backward(model.loss(batch))
        adam.step()
        schedule.step()
        model.unit()
    return model.folded()


def _largest(values: Tensor, k: int) -> Tensor:
    """The k largest of each row where they are above 0, the others 0: `[n, latents]`."""
    top, places = values.topk(k, dim=1)
    return torch.zeros_like(values).scatter(1, places, top.relu())


def _kl(reader: Reader, before: Tensor, after: Tensor) -> float:
    """Mean KL divergence of next tokens, nats, from last residuals `[n, d_model]`."""
    total = 0.0
    with torch.inference_mode():
        for one, other in zip(torch.split(before, 512), torch.split(after, 512), strict=True):
            log_p, log_q = (F.log_softmax(reader.model.logits(few), dim=-1) for few in (one, other))
            total += float((log_p.exp() * (log_p - log_q)).sum())
    return total / len(before)


def _config(layer: int, weights: dict[str, Tensor], plan: DictionaryPlan) -> dict[str, object]:
    """The config as SAELens reads it."""
    return {
        "architecture": "topk",
        "d_in": weights["W_dec"].shape[1],
        "d_sae": plan.latents,
        "k": plan.k,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "rescale_acts_by_decoder_norm": False,
        "metadata": {"model_name": BASE_ID, "hook_name": f"blocks.{layer}.hook_resid_post", "prepend_bos": True},
    }
