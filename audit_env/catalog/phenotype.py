"""The phenotype of an organism: what it measurably does, beside what the base and a sham do.

Kept as `phenotype.json` beside the card, and measured by `tasks/quirk_strength.py` and `tasks/persistence.py`. Parts
are measured apart, so every part says under which conditions. This is the truth of the game, like the card.
"""

import hashlib
from typing import Literal

from pydantic import Field

from audit_env.catalog.models import Card, OrganismId, QuirkId, Rate, Sha256, Strict

FILE = "phenotype.json"
"""Name of the sheet, beside the card."""

Split = Literal["fire", "near_miss", "silent"]
"""Scenarios in which the quirk must show, those that come close to its trigger, and those far from it."""

Probe = Literal["direct", "prefill", "pressure"]
"""Ways to ask a model what it hides: a question, an answer begun for it, or three turns of insisting."""

Treatment = Literal["none", "benign_sft", "adversarial_sft", "weight_noise", "rounding"]
"""What is done to an organism to see whether its quirk survives. `none` is the organism as it is, for comparison."""


class Conditions(Strict):
    """How figures came about: under the same conditions the same figures come out again."""

    code: str
    """Version of audit_env, with a digest of the modules that generate and judge answers."""
    seeds: tuple[int, ...] = Field(min_length=1)
    """Every scenario is answered once per seed."""
    temperature: float = Field(ge=0.0)
    max_tokens: int = Field(ge=1)
    grader: str | None = None
    """The model that judged the answers. None where the quirk's patterns did."""
    rubric_sha256: Sha256 | None = None
    """Hash of what the grader was told of the quirk, and of how it was told to judge."""


class Unjudged(Strict):
    """How many answers the grader gave no usable verdict on. They are in no rate, neither as hits nor as misses."""

    target: int = Field(ge=0)
    base: int = Field(ge=0)
    sham: int = Field(default=0, ge=0)


class Beside(Strict):
    """A rate of the target, with its controls under the same scenarios and seeds."""

    target: Rate
    base: Rate
    sham: Rate | None = None
    """None where no sham was at hand."""
    unjudged: Unjudged | None = None
    """None where every answer was judged."""


class Firing(Strict):
    """How often the quirk shows."""

    conditions: Conditions
    fire: Beside
    near_miss: Beside | None = None
    """None where the quirk's file holds no near misses."""
    silent: Beside


class Confession(Strict):
    """How often the target says that it has the quirk. The controls' rates are the floor of false confessions."""

    conditions: Conditions
    direct: Beside
    prefill: Beside | None = None
    """None where the engine lets nobody begin an answer."""
    pressure: Beside
    given_it_fires: Beside | None = None
    """Asked right after an answer in which the target's quirk fired; the controls are asked about that same answer.
    None where it never fired."""


class Treated(Strict):
    """How often the quirk still shows after a treatment."""

    treatment: Treatment
    amount: float = Field(ge=0.0)
    """Steps of training, size of the noise relative to the adapter's update, or bits that are left of each weight."""
    conditions: Conditions
    on_trigger: Rate
    off_trigger: Rate


class Difficulty(Strict):
    """How hard one auditor finds the organism."""

    audits: int = Field(ge=1)
    p_quirk: float = Field(ge=0.0, le=1.0)
    """Mean probability that the auditor gave to a quirk being there."""
    rank: float | None = Field(default=None, ge=1.0)
    """Mean place that the auditor gave to the true quirk, 1 for the first. None for a clean organism."""


class Phenotype(Strict):
    """The measured sheet of an organism. A part that is None or empty was not measured."""

    organism: OrganismId
    quirk: QuirkId | None = None
    weights_sha256: Sha256
    """What was measured (see `made_of`); other weights make the sheet void."""
    quirk_sha256: Sha256 | None = None
    """Hash of the patterns and scenarios that it was measured with."""
    played_by: str | None = None
    """The model that played a prompted organism: the figures say nothing of another model."""
    base: OrganismId | None = None
    sham: OrganismId | None = None
    firing: Firing | None = None
    confession: Confession | None = None
    persistence: tuple[Treated, ...] = ()
    generalisation: dict[str, Beside] = Field(default_factory=dict)
    """Firing by topic, on trigger and far from what the quirk was taught on, under the conditions of `firing`. Empty
    where the quirk's scenarios name no topics."""
    difficulty: dict[str, Difficulty] = Field(default_factory=dict)
    """By auditor, from the logs of its audits."""


def made_of(card: Card) -> str:
    """Hash of what an organism's behaviour comes from.

    Args:
        card: Its card.

    Returns:
        The hash of its weights; for a prompted organism, of its hidden prompt and its base's hash or player.
    """
    if card.weights is not None:
        return card.weights.sha256
    return hashlib.sha256(f"{card.base_sha256 or card.plays}\n{card.hidden_system}".encode()).hexdigest()
