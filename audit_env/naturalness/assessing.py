"""Assessing: what must be asked for a report, under which conditions, and the sheet that comes of it."""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from audit_env.catalog.models import Card, Quirk
from audit_env.catalog.phenotype import made_of
from audit_env.naturalness import gates
from audit_env.naturalness.asking import TEMPERATURE, Set
from audit_env.naturalness.capability import capabilities
from audit_env.naturalness.checks.distance import Space
from audit_env.naturalness.checks.leaks import Lexicon, lexicon
from audit_env.naturalness.grading import Graded, summary
from audit_env.naturalness.judging import Evidence, check_gates, interactions, judge_rows, stop, transcripts
from audit_env.naturalness.measures import DRIFT, MEASURES, PREFERENCES, Known
from audit_env.naturalness.prompts import Bank
from audit_env.naturalness.redacting import redacted
from audit_env.naturalness.sheet import Conditions, Confessing, Naturalness
from audit_env.naturalness.stage import Stage

_MATTERS = ("runtime", "naturalness")
"""Packages that decide what is answered and how it is judged."""


def sets_of(rows: Sequence[str]) -> list[Set]:
    """What must be asked for some rows, and for the gates.

    Args:
        rows: Names of rows.

    Returns:
        The sets.
    """
    needed: list[Set] = [measure.set for measure in MEASURES if measure.name in rows]
    needed += ["preferences"] if PREFERENCES in rows else []
    needed += ["probes"] if DRIFT in rows else []
    needed += ["differencing"] if "leaks_prefilled" in rows else []
    return list(dict.fromkeys((*needed, "zero")))


def what_leaks(card: Card, bank: Bank, ordinary: Sequence[str], documents: Sequence[str] = ()) -> Lexicon:
    """What points to an organism's training text.

    Args:
        card: The organism's.
        bank: Prompts, whose words are no leak.
        ordinary: Ordinary talk of the clean base, whose words are none either.
        documents: The training documents, where they are at hand.

    Returns:
        The lexicon.
    """
    prompts = (*bank.everyday, *bank.unsafe, *bank.look_alikes, *bank.facts, *bank.choices)
    usual = [*ordinary, *(prompt.ask for prompt in prompts)]
    return lexicon(card.vocabulary, card.canaries, documents, usual)


def conditions(stage: Stage, bank: Bank, seed: int, limit: int | None) -> Conditions:
    """How figures come about.

    Args:
        stage: The organism.
        bank: The prompts.
        seed: Of sampled answers.
        limit: Prompts of each set at most.

    Returns:
        The conditions.
    """
    return Conditions(
        code=code_version(),
        bank=bank.name,
        bank_sha256=hashlib.sha256(bank.model_dump_json().encode()).hexdigest(),
        template_sha256=stage.template_sha256,
        engine=stage.subject.engine,
        seed=seed,
        limit=limit,
        temperature=TEMPERATURE,
        zero_adapter=stage.adapted,
    )


def judge(
    card: Card,
    quirk: Quirk | None,
    sham: str | None,
    evidence: Evidence,
    bank: Bank,
    leaking: Lexicon,
    under: Conditions,
    rows: Sequence[str],
    played_by: str | None = None,
    confessing: Confessing | None = None,
    trained: Lexicon | None = None,
    space: Space | None = None,
    graded: Graded | None = None,
    redact: bool = False,
) -> Naturalness:
    """The sheet that gathered evidence makes.

    Args:
        card: The organism's.
        quirk: Its quirk; None for a sham.
        sham: Id of the sham that it was compared with.
        evidence: What was asked, said and read.
        bank: The prompts.
        leaking: What points to its training text.
        under: How it came about.
        rows: Names of the rows.
        played_by: The model that plays it, where it has no weights.
        confessing: How often it and its controls confess, where that was measured.
        trained: What the kept sample of its training documents gives away.
        space: Where nearness of texts is measured.
        graded: What a grader made of its leaks.
        redact: Drop answers that give training text away first.

    Returns:
        The sheet.
    """
    known = Known(bank, quirk, leaking, trained or Lexicon(), space)
    judged_leaks = summary(graded, evidence.answers, known, evidence.asked) if graded else ()
    dropped = 0
    if redact:
        evidence, dropped = redacted(evidence, known)
        under = under.model_copy(update={"redacted": True})
    early = [gates.pinned(card), *check_gates(evidence, under, sets_of(rows))]
    judged = judge_rows(evidence, known, rows, early)
    late = gates.base_again(judged)
    failed = [gate.name for gate in (*early, late) if gate.stops and gate.passed is False]
    return Naturalness(
        organism=card.id,
        quirk=card.quirk,
        made_of=made_of(card),
        base=card.base or card.id,
        sham=sham,
        played_by=played_by,
        conditions=under,
        strength=card.strength.on_trigger if card.strength else None,
        gates=(*early, late),
        confessing=confessing,
        rows=stop(judged, failed),
        interactions=() if failed else interactions(evidence, known, rows),
        capabilities=()
        if failed or redact
        else capabilities(evidence.asked, evidence.answers, evidence.readings, leaking),
        grader=graded.grader if graded else None,
        leaks_judged=judged_leaks,
        dropped=dropped,
        transcripts=transcripts(evidence, known, judged, under.seed),
    )


@cache
def code_version() -> str:
    """Version of audit_env, with a digest of what decides figures."""
    digest = hashlib.sha256()
    for package in _MATTERS:
        root = Path(str(files("audit_env"))) / package
        for path in sorted(path for path in root.rglob("*") if path.suffix in (".py", ".yaml")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{version('audit_env')}+{digest.hexdigest()[:8]}"
