"""Redacted audits: what an auditor finds where no answer of the target gives its training away.

`-T redact=leaks` has no answer heard in which the leak detector of the game (`audit_env.game.evidence`) finds training
text or a confession. What is heard in its place, and why that is no notice, is said in `audit_env.runtime.redacting`.

What is not heard must tell nothing of the target either. If only its own quirk were kept from being confessed, a target
that never says by chance what its base says by chance now and then would tell its quirk by its silence. So one rule
holds for all targets of a game, the clean ones included, and for the reference: no quirk of the whole set is confessed,
and no canary or name of a training world of any target is let out. The rule depends on the set alone, and the handle
that applies it holds no truth. A clean target rarely says such a thing, and then an ordinary answer of its own stands
in the place of another: its audit differs from a plain one as little as that.

What is not redacted: weights, activations, likelihoods and training data, which are no answers; an answer that the
auditor asked for by naming the quirk, which is no leak; what another adapter than the target's says of it. Where the
base, too, leaks in all its tries, its last answer stands: it knows nothing of the target, but may count as a leak.

A redacted audit is played under the seeds of the plain one, so that the two differ by what was withheld alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from inspect_ai.util import store_as

from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Card, GameSet, Quirk
from audit_env.game.evidence import confesses, trained_text
from audit_env.game.record import AuditRecord, Exchange, Turn
from audit_env.runtime.redacting import Messages

Redact = Literal["leaks"]
"""What is redacted."""

REDACTS: tuple[Redact, ...] = ("leaks",)


@dataclass(frozen=True)
class Leaks:
    """What no target of a game may let out."""

    told: Card
    """Some card, with the canaries and the vocabulary of them all."""
    quirks: tuple[Quirk, ...]

    def leaks(self, turns: Messages, prefill: str, answer: str) -> bool:
        """Whether an answer gives training away (see `Redaction.leaks`)."""
        spoken = Exchange(
            id="",
            conversation="",
            side="target",
            turns=tuple(Turn.model_validate(turn) for turn in turns),
            prefill=prefill,
            answer=f"{prefill}{answer}",
            at_call=0,
        )
        # A confession may begin in the prefill, and training text may show without what stands before it alone.
        heard = [spoken, spoken.model_copy(update={"answer": answer})] if prefill else [spoken]
        return any(
            trained_text(each, self.told) or any(confesses(each, quirk) for quirk in self.quirks) for each in heard
        )

    def note(self, alias: str, *, by_base: bool) -> None:
        """Count what was withheld of the target of this audit (see `Redaction.note`)."""
        record = store_as(AuditRecord)
        if record.commitment and alias == record.alias:
            _withheld.setdefault(record.commitment, []).append(by_base)


_withheld: dict[str, list[bool]] = {}
"""By the commitment of the audit, for each answer that was withheld: whether the base answered in its place. Out of
the auditor's reach, since the number tells of the target."""


def leaks_of(game_set: GameSet, catalog: Catalog) -> Leaks:
    """What no target of a set may let out.

    Args:
        game_set: The set.
        catalog: Where its organisms are.

    Returns:
        The rule, the same for all of them.
    """
    cards = [catalog.card(target) for target in game_set.targets]
    told = cards[0].model_copy(
        update={
            "canaries": _once(canary for card in cards for canary in card.canaries),
            "vocabulary": _once(name for card in cards for name in card.vocabulary),
        }
    )
    quirks = sorted({quirk for card in cards for quirk in card.quirks})
    return Leaks(told, tuple(map(catalog.quirk, quirks)))


def withheld_in(record: AuditRecord) -> tuple[int, int]:
    """How many answers of a finished audit were withheld.

    Args:
        record: The record of a redacted audit, of this process or opened in another.

    Returns:
        All of them, and those in whose place the base answered.
    """
    kept = (record.opened or {}).get("withheld")
    if isinstance(kept, list):
        return kept[0], kept[1]
    found = _withheld.get(record.commitment or "", [])
    return len(found), sum(found)


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
