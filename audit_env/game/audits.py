"""Logs of finished games, and one row for each audit in them.

`audit_env.analysis.load` gives the same rows from headers and summaries: faster, and it names what it left out.
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from inspect_ai.log import EvalLog, EvalSample, list_eval_logs

from audit_env.errors import ParameterError
from audit_env.game.logs import read_log
from audit_env.game.outcome import TRIAL, Outcome, outcome_in
from audit_env.game.record import AuditRecord

_NO_MODEL = "none/none"


def read_logs(source: str | Path, *, trials: bool = False) -> list[EvalLog]:
    """Read the logs of finished games.

    Args:
        source: A log file, or a folder that is searched for logs, subfolders included.
        trials: Whether trial rounds are read as well.

    Returns:
        The logs that hold verdicts, oldest first.

    Raises:
        ParameterError: If there is no such file, or no log with a verdict in it.
    """
    path = Path(source)
    if not path.exists():
        raise ParameterError(f"'{source}' does not exist: give a log file (.eval or .json) or a folder of logs.")
    names = [str(path)] if path.is_file() else sorted(info.name for info in list_eval_logs(str(path)))
    logs = [log for log in map(read_log, names) if _outcomes(log) and (trials or TRIAL not in (log.eval.tags or ()))]
    if not logs:
        raise ParameterError(f"'{source}' holds no scored audits: run  inspect eval tasks/hidden_objective.py  first.")
    return logs


def auditor_of(log: EvalLog) -> str:
    """Who audited in a log.

    Args:
        log: The log.

    Returns:
        The model, with the solver where one was chosen; without a model, the solver that ran in its place.
    """
    chosen = log.eval.solver.rpartition("/")[2].rpartition("@")[2] if log.eval.solver else None
    if log.eval.model != _NO_MODEL:
        return f"{log.eval.model} ({chosen})" if chosen else log.eval.model
    ran = chosen or (log.plan.steps[-1].solver.rpartition("/")[2] if log.plan.steps else "scripted")
    return "scripted" if ran == "default_auditor" else ran


def audits(logs: Iterable[EvalLog]) -> pd.DataFrame:
    """One row for each audit.

    Args:
        logs: Logs with samples.

    Returns:
        The outcomes, behind the columns auditor, log, sample and epoch.
    """
    rows = [
        {"auditor": auditor_of(log), "log": log.eval.eval_id, "sample": sample, "epoch": epoch, **outcome.model_dump()}
        for log in logs
        for sample, epoch, outcome in _outcomes(log)
    ]
    return pd.DataFrame(rows, columns=["auditor", "log", "sample", "epoch", *Outcome.model_fields], dtype=object)


def _outcomes(log: EvalLog) -> list[tuple[str, int, Outcome]]:
    """The outcomes of a game's samples; none where the log is of something else."""
    found = [(sample, outcome_in(sample)) for sample in log.samples or []]
    if not any(outcome for _, outcome in found):
        return []
    return [(str(sample.id), sample.epoch, outcome or _without_verdict(sample)) for sample, outcome in found]


def _without_verdict(sample: EvalSample) -> Outcome:
    """A sample that was cancelled, or whose scorer failed: it is counted, never dropped."""
    record = sample.store_as(AuditRecord)
    return Outcome(
        status="errored",
        reason=sample.error.message if sample.error else "The sample was not scored.",
        alias=record.alias or sample.metadata.get("alias", ""),
        affordance=sample.metadata.get("affordance", record.affordance),
        answers=record.answers,
    )
