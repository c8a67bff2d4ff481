"""Answers in words, judged by people: blind to team and rank, in the session's own order, and by two if there are.

What two people make of the same claim gives Cohen's kappa of "correct" or not, which is what the score depends on. Its
interval is the wider of two bootstraps: over quirks, since claims about one stand or fall together, and over claims,
since a session has few quirks, of which one alone would give no width at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from audit_env.game.grader import Verdict
from audit_env.game.judging.agreement import Kappa, kappa
from audit_env.game.judging.agreement import Verdict as Pair
from audit_env.sessions.errors import SessionError
from audit_env.sessions.referee.ledger import Ledger
from audit_env.sessions.referee.people_as_grader import FENCE, hashed, people
from audit_env.sessions.referee.scoring import opened_logs, scored
from audit_env.sessions.referee.state import Judged, Session, by_question, changing, read, sealed_in
from audit_env.stats import Interval, clustered_wilson


@dataclass(frozen=True)
class Question:
    """One claim to be judged."""

    key: str
    text: str
    """The quirk, its rubric and the claim, as a grading model would be asked."""
    quirk: str
    """Hash of what stands before the claim."""


@dataclass(frozen=True)
class Agreement:
    """How far two adjudicators agree."""

    first: str
    second: str
    same: Interval
    """Share of the claims on which both say correct, or neither."""
    kappa: Kappa


def questions(ledger: Ledger) -> list[Question]:
    """All that has to be judged: each claim on a target with a quirk once, whoever made it.

    Args:
        ledger: The file of the session.

    Returns:
        The questions, shuffled by the session's seed; none where answers are by menu.
    """
    with ledger.page() as page:
        session, sealed = Session(page.entries()), sealed_in(page)
        if session.terms.answers != "open":
            return []
        logs = opened_logs(page, session.handed_in)
    asked: dict[str, str] = {}
    for _, log in logs:
        scored(log, people(asked=asked))
    found = [Question(key, text, hashed(text.partition(FENCE)[0])) for key, text in asked.items()]
    return sorted(found, key=lambda one: hashed(f"{sealed.drawn.secret}:{one.key}"))


def left_to(session: Session, asked: Sequence[Question], by: str) -> list[Question]:
    """What somebody has yet to judge.

    Args:
        session: The session.
        asked: All that has to be judged.
        by: Who judges.

    Returns:
        The questions, in order.
    """
    judged = by_question(session.judged)
    return [one for one in asked if by not in judged.get(one.key, {})]


def disputed(session: Session, asked: Sequence[Question]) -> list[tuple[Question, list[Judged]]]:
    """Claims of which some say that they are correct, and some not, with what each said.

    Args:
        session: The session.
        asked: All that has to be judged.

    Returns:
        Those that were not settled yet.
    """
    judged, settled = by_question(session.judged), by_question(session.settled)
    found = [(one, list(judged.get(one.key, {}).values())) for one in asked if one.key not in settled]
    return [(one, said) for one, said in found if len({each.verdict == "correct" for each in said}) > 1]


def judge(ledger: Ledger, question: Question, by: str, verdict: Verdict, reason: str, *, settles: bool = False) -> None:
    """Write a judgement down.

    Args:
        ledger: The file of the session.
        question: What was asked.
        by: Who judges.
        verdict: What they say.
        reason: Why.
        settles: Whether it decides between two that differ.

    Raises:
        SessionError: If they play in this session, or it is closed.
    """
    said = Judged(question=question.key, by=by, verdict=verdict, reason=reason)
    with changing(ledger) as (page, session):
        must_not_play(session, by)
        page.write("settled" if settles else "judged", said.model_dump())


def must_not_play(session: Session, by: str) -> None:
    """Refuse an adjudicator who is a player: the rubric tells what the target is.

    Args:
        session: The session.
        by: Who wants to judge.

    Raises:
        SessionError: If they have a seat.
    """
    if any(seat.name == by for seat in session.seats):
        raise SessionError(f"'{by}' plays in this session, and adjudicating tells the truth: let somebody else judge.")


def verdicts(session: Session, asked: Sequence[Question]) -> dict[str, tuple[Verdict, str]]:
    """What every claim came to.

    Args:
        session: The session.
        asked: All that has to be judged.

    Returns:
        Verdict and reason of each, by the key of its question.

    Raises:
        SessionError: If a claim was not judged, or a disagreement not settled.
    """
    judged, settled = by_question(session.judged), by_question(session.settled)
    if missing := [one for one in asked if one.key not in judged]:
        raise SessionError(
            f"{len(missing)} of {len(asked)} claims were not judged: run  audit-env session adjudicate FILE --by NAME."
        )
    if differ := disputed(session, asked):
        raise SessionError(
            f"On {len(differ)} of {len(asked)} claims adjudicators differ: settle them with  audit-env session "
            "adjudicate FILE --by NAME --settle."
        )
    said = {one.key: list((settled.get(one.key) or judged[one.key]).values())[-1] for one in asked}
    return {key: (one.verdict, f"{one.by}: {one.reason}".removesuffix(": ")) for key, one in said.items()}


def agreements(ledger: Ledger, asked: Sequence[Question]) -> list[Agreement]:
    """How far adjudicators agree, each with each.

    Args:
        ledger: The file of the session.
        asked: All that has to be judged.

    Returns:
        One for each pair that judged any claim both.
    """
    judged = by_question(read(ledger).judged)
    names = sorted({by for said in judged.values() for by in said})
    found: list[Agreement] = []
    for first, second in combinations(names, 2):
        pairs = [
            (one.quirk, judged[one.key][first].verdict == "correct", judged[one.key][second].verdict == "correct")
            for one in asked
            if {first, second} <= judged.get(one.key, {}).keys()
        ]
        if pairs:
            found.append(_agreement(first, second, pairs))
    return found


def in_words(found: Sequence[Agreement]) -> list[str]:
    """Agreements as people read them.

    Args:
        found: The agreements.

    Returns:
        A sentence for each.
    """
    return [
        f"{one.first} and {one.second}: {one.kappa.n} claims judged by both, the same in {one.same.rate or 0.0:.2f} "
        f"[{one.same.low:.2f}, {one.same.high:.2f}]; Cohen's kappa "
        f"{'cannot be told' if one.kappa.value is None else f'{one.kappa.value:.2f}'} "
        f"[{one.kappa.low:.2f}, {one.kappa.high:.2f}]."
        for one in found
    ]


def _agreement(first: str, second: str, pairs: Sequence[tuple[str, bool, bool]]) -> Agreement:
    same = clustered_wilson([float(one == other) for _, one, other in pairs], [quirk for quirk, _, _ in pairs])
    by_quirk = _kappa(pairs)
    by_claim = _kappa([(str(place), one, other) for place, (_, one, other) in enumerate(pairs)])
    widest = replace(by_quirk, low=min(by_quirk.low, by_claim.low), high=max(by_quirk.high, by_claim.high))
    return Agreement(first, second, same, widest)


def _kappa(pairs: Sequence[tuple[str, bool, bool]]) -> Kappa:
    return kappa([Pair(group, "correct" if one else "vague", one, other) for group, one, other in pairs])
