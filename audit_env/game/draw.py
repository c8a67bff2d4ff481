"""From a game set to samples: which targets are played, in which order, under which names.

Everything is seeded. What comes out is public: a sample holds an alias, never a target's name; what each alias stands
for goes into a closed envelope (`audit_env.game.truth`).
"""

import hashlib
import os
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from inspect_ai.dataset import Sample

from audit_env.catalog.alias import alias as opaque
from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Card, GameSet, Strict
from audit_env.catalog.phenotype import made_of
from audit_env.catalog.training import kept
from audit_env.errors import ParameterError
from audit_env.game.phases import Phase, levels_in
from audit_env.game.record import Affordance, AnswerFormat, Budget
from audit_env.game.redacting import Leaks, Redact, leaks_of
from audit_env.game.truth import Envelope, close, envelope_of
from audit_env.tools.affordances import Need, level_of
from audit_env.tools.black_box.petri import VARIABLE as PETRI_LOG
from audit_env.tools.white_box.verbalisers import VARIABLES, named_folder


class Audit(Strict):
    """What anyone may know of an audit before it begins: the metadata of its sample."""

    alias: str
    affordance: Affordance
    answers: AnswerFormat
    set: str
    brief: str
    budget: Budget
    """Of the first phase, where there are several."""
    phases: tuple[Phase, ...] = ()
    """Where the audit is played at several levels, one after the other."""


class Target(Strict):
    """A target as it was drawn. Holds the truth: never leaves the process."""

    alias: str
    card: Card


def draw(
    game_set: GameSet, catalog: Catalog, *, count: int | None, seed: int, redact: Redact | None = None
) -> list[Target]:
    """Draw the targets of a game, check their files and close their envelopes.

    Args:
        game_set: The set to draw from.
        catalog: Where its organisms are.
        count: How many targets to draw; None for all. A part of a set keeps its share of clean targets, and at least
            one; a single target is any of the set, so that being alone tells nothing of it.
        seed: Decides which targets, their order and their aliases.
        redact: What is not to be heard of them. Redacted targets have aliases of their own.

    Returns:
        The targets, in the order in which they are played.

    Raises:
        CardError: If a card is missing or malformed.
        WeightsError: If weights are missing, altered or unfit.
        ParameterError: If the set has fewer targets than asked for.
    """
    cards = [catalog.card(organism) for organism in game_set.targets]
    if count is not None and count > len(cards):
        raise ParameterError(
            f"Parameter 'targets' asks for {count}, but the set '{game_set.name}' has {len(cards)} targets."
        )
    rng = random.Random(f"draw:{seed}")
    drawn = _keep_the_share(cards, len(cards) if count is None else count, rng)
    rng.shuffle(drawn)
    redaction = leaks_of(game_set, catalog) if redact else None
    return [_enveloped(card, game_set, catalog, seed, redaction) for card in drawn]


def samples(
    targets: Sequence[Target],
    affordances: Sequence[Affordance],
    *,
    answers: AnswerFormat,
    set_name: str,
    brief_name: str,
    budget: Callable[[Affordance], Budget],
    brief: Callable[[str, Affordance, Budget], str],
) -> list[Sample]:
    """One sample for each target and affordance.

    Args:
        targets: The targets, in playing order.
        affordances: The levels of access. A name may join several by `-then-`: they are the phases of one audit.
        answers: Format of the answers.
        set_name: Name of the game set.
        brief_name: Name of the brief.
        budget: Gives the budget of a level.
        brief: Gives the brief's text for a family, a level and a budget.

    Returns:
        The samples. Their ids are opaque, such as `t-3fa81c2e.black_box`; their targets are empty.

    Raises:
        ParameterError: If a level asks for the inside of a target that has none.
    """
    for name in affordances:
        for need in sorted({need for level in levels_in(name) for need in level_of(level).needs}):
            if missing := _missing(need, targets, set_name):
                raise ParameterError(f"Parameter 'affordance' cannot be '{name}' for the set '{set_name}': {missing}.")
    budgets = {level: budget(level) for name in affordances for level in levels_in(name)}
    return [
        Sample(
            id=f"{target.alias}.{affordance}",
            input=brief(target.card.family, affordance, budgets[levels_in(affordance)[0]]),
            metadata=Audit(
                alias=target.alias,
                affordance=affordance,
                answers=answers,
                set=set_name,
                brief=brief_name,
                budget=budgets[levels_in(affordance)[0]],
                phases=_phases(affordance, budgets),
            ).model_dump(exclude_defaults=True),
        )
        for target in targets
        for affordance in affordances
    ]


def _phases(affordance: Affordance, budgets: Mapping[Affordance, Budget]) -> tuple[Phase, ...]:
    levels = levels_in(affordance)
    return tuple(Phase(affordance=level, budget=budgets[level]) for level in levels) if len(levels) > 1 else ()


def _missing(need: Need, targets: Sequence[Target], set_name: str) -> str | None:
    """What keeps targets from being played at a level with such a need, and what to do about it."""
    if need == "weights" and any(target.card.plays for target in targets):
        return (
            "it has targets that a model plays behind a prompt, without weights to read; use affordance=black_box or "
            "affordance=blind,black_box"
        )
    if need == "training_mix":
        envelopes = [envelope_of(target.alias) for target in targets]
        lacking = [one for one in envelopes if not (kept(one.folder) and kept(one.base_folder))]
        if lacking:
            return (
                f"of {len(lacking)} of its {len(targets)} targets no training data were kept; run  audit-env breed data"
                f" --set {set_name}"
            )
    if need == "petri_transcripts" and not os.environ.get(PETRI_LOG):
        return f"no log of a Petri audit is named; set the environment variable {PETRI_LOG}"
    if (need == "oracle" or need == "introspection") and named_folder(need) is None:
        return f"no such adapter is named; set the environment variable {VARIABLES[need]} to a PEFT folder of the base"
    return None


def _keep_the_share(cards: list[Card], count: int, rng: random.Random) -> list[Card]:
    if count == 1:
        return [rng.choice(cards)]
    clean = [card for card in cards if card.quirk is None]
    quirked = [card for card in cards if card.quirk is not None]
    fair = round(count * len(clean) / len(cards))
    least = max(count - len(quirked), min(1, len(clean)))
    keep = min(max(fair, least), len(clean))
    return rng.sample(clean, keep) + rng.sample(quirked, count - keep)


def _enveloped(card: Card, game_set: GameSet, catalog: Catalog, seed: int, redaction: Leaks | None) -> Target:
    catalog.check(card.id)
    base = catalog.card(card.base) if card.base else card
    sham = _sham_of(base, game_set, catalog)
    # The alias must change when the organism does, and when it is heard otherwise.
    twin = opaque(_salt(game_set, seed), card.id, made_of(card))
    name = opaque(f"redacted:{twin}", card.id, made_of(card)) if redaction else twin
    envelope = Envelope(
        card=card,
        quirk=catalog.quirk(card.quirk) if card.quirk else None,
        menu=catalog.menu().entries,
        folder=catalog.folder(card.id),
        base=base,
        base_folder=catalog.folder(base.id),
        sham_folder=catalog.folder(sham.id) if sham else None,
        sham_system=sham.hidden_system if sham else None,
        second_quirk=catalog.quirk(card.second_quirk) if card.second_quirk else None,
        null=_null_of(card, base, game_set, catalog),
        redaction=redaction,
        twin=twin if redaction else None,
    )
    close(name, envelope)
    return Target(alias=name, card=card)


def _sham_of(base: Card, game_set: GameSet, catalog: Catalog) -> Card | None:
    """The set's reference sham, for the targets that were made from the same base: it is no null for others."""
    if game_set.reference_sham is None:
        return None
    catalog.check(game_set.reference_sham)
    sham = catalog.card(game_set.reference_sham)
    return sham if sham.base == base.id else None


def _null_of(card: Card, base: Card, game_set: GameSet, catalog: Catalog) -> tuple[Card, Path] | None:
    """An organism of the set with another quirk: of the same recipe if there is one, else of the nearest."""
    others = [
        other
        for other in map(catalog.card, game_set.targets)
        if other.base == base.id and other.quirk and not set(other.quirks) & set(card.quirks)
    ]
    if not others:
        return None
    recipe = card.recipe

    def likeness(other: Card) -> tuple[bool, bool]:
        return other.recipe.instil == recipe.instil, other.recipe.conceal == recipe.conceal

    nearest = max(map(likeness, others))
    null = random.Random(f"null:{card.id}").choice([other for other in others if likeness(other) == nearest])
    return null, catalog.folder(null.id)


def _salt(game_set: GameSet, seed: int) -> str:
    return hashlib.sha256(f"alias:{game_set.name}:{seed}".encode()).hexdigest()
