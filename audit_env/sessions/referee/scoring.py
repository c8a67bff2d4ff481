"""The audits of a session, scored by the game's own scorer."""

import json
from collections.abc import Iterable
from typing import Any

from inspect_ai import score
from inspect_ai.log import EvalLog, EvalSample
from inspect_ai.model import Model

from audit_env.game.outcome import Outcome, interims_of, outcome_of
from audit_env.game.scorer import verdict
from audit_env.sessions.errors import SessionError
from audit_env.sessions.referee.ledger import Page
from audit_env.sessions.referee.state import LOG, HandedIn, opening_of
from audit_env.sessions.referee.taking import log_of

_OPENED = "AuditRecord:opened"


def opened_logs(page: Page, handed_in: Iterable[HandedIn]) -> list[tuple[list[HandedIn], EvalLog]]:
    """The logs of a session with the truth in them, as they are after any other game.

    Args:
        page: The file of the session.
        handed_in: The audits.

    Returns:
        For each log the audits that came in with it, and the log with these audits alone.

    Raises:
        SessionError: If a log is not there.
    """
    by_log: dict[str, list[HandedIn]] = {}
    for one in handed_in:
        by_log.setdefault(one.log, []).append(one)
    return [(audits, _opened(page, digest, audits)) for digest, audits in by_log.items()]


def scored(log: EvalLog, grader: Model | None) -> EvalLog:
    """Score a log.

    Args:
        log: The log, opened.
        grader: Who judges answers in words; None for answers by menu.

    Returns:
        The log with its scores.
    """
    return score(
        log,
        verdict(),
        # A person need not be there again.
        model="none",
        model_roles={"grader": grader} if grader else None,
        action="overwrite",
        display="none",
    )


def outcomes(log: EvalLog) -> list[tuple[EvalSample, Outcome]]:
    """What became of the audits of a scored log.

    Args:
        log: The log.

    Returns:
        Samples with a verdict, each with its outcome, and with that of every interim verdict.
    """
    return [
        (sample, each)
        for sample in log.samples or []
        for given in (sample.scores or {}).values()
        if (outcome := outcome_of(given)) is not None
        for each in (*interims_of(given), outcome)
    ]


def _opened(page: Page, digest: str, audits: list[HandedIn]) -> EvalLog:
    content = page.kept(LOG + digest)
    if content is None:
        raise SessionError("A log of this session is lost: give it again with  audit-env session take.")
    log = log_of(content)
    logged = {one.logged for one in audits}
    log.samples = [sample for sample in log.samples or [] if str(sample.id) in logged and sample.epoch == 1]
    for sample in log.samples:
        if sample.store.get(_OPENED) is None:
            sample.store[_OPENED] = _opening(page, str(sample.store.get("AuditRecord:commitment")))
    return log


def _opening(page: Page, commitment: str) -> dict[str, Any]:
    content = page.kept(opening_of(commitment))
    if content is None:
        raise SessionError("What an audit was sealed with is lost from this session: restore its file from a copy.")
    opening: dict[str, Any] = json.loads(content)
    return opening
