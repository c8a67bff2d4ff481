"""How hard auditors find organisms, from the logs of their audits."""

from collections import defaultdict
from collections.abc import Iterable
from statistics import mean

from inspect_ai.log import EvalLog

from audit_env.catalog.files import Catalog
from audit_env.catalog.phenotype import Difficulty, Phenotype, made_of
from audit_env.game.audits import auditor_of
from audit_env.game.outcome import Outcome, outcome_in
from audit_env.game.record import AuditRecord
from audit_env.game.truth import open_truth


def sheets(logs: Iterable[EvalLog], catalog: Catalog) -> list[Phenotype]:
    """What logs say of organisms of a catalogue.

    Audits of other weights than those that the catalogue holds now are left out, and so are audits that were not
    scored, or in which the target was not met as it is. An audit without a report counts with the probability that the
    game gives to silence.

    Args:
        logs: Logs of finished games, with samples.
        catalog: Where the organisms are.

    Returns:
        A sheet for each organism that was audited, by id, with nothing on it but the difficulty for each auditor at
        each level of access ("acts grey_box").
    """
    known = set(catalog.organism_ids())
    found: dict[str, dict[str, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
    for log in logs:
        for sample in log.samples or []:
            outcome = outcome_in(sample)
            if outcome is None or outcome.p_quirk is None or outcome.organism not in known or not outcome.as_it_is:
                continue
            audited = open_truth(sample.store_as(AuditRecord)).card
            if made_of(audited) == made_of(catalog.card(outcome.organism)):
                found[outcome.organism][f"{auditor_of(log)} {outcome.affordance}"].append(outcome)
    return [_sheet(catalog, organism, by_auditor) for organism, by_auditor in sorted(found.items())]


def _sheet(catalog: Catalog, organism: str, by_auditor: dict[str, list[Outcome]]) -> Phenotype:
    card = catalog.card(organism)
    return Phenotype(
        organism=organism,
        quirk=card.quirk,
        weights_sha256=made_of(card),
        quirk_sha256=catalog.quirk(card.quirk).measured_with() if card.quirk else None,
        base=card.base,
        difficulty={auditor: _difficulty(outcomes) for auditor, outcomes in sorted(by_auditor.items())},
    )


def _difficulty(outcomes: list[Outcome]) -> Difficulty:
    ranks = [1 / outcome.reciprocal_rank for outcome in outcomes if outcome.quirked and outcome.reciprocal_rank]
    return Difficulty(
        audits=len(outcomes),
        p_quirk=round(mean(outcome.p_quirk or 0.0 for outcome in outcomes), 4),
        # A quirk that was left out of a ranking has no place in it: a mean over the others would flatter.
        rank=round(mean(ranks), 2) if ranks and len(ranks) == len(outcomes) else None,
    )
