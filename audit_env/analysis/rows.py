"""One log as rows of plain data, from its header and summaries; samples are opened where a summary left data out."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from inspect_ai.log import (
    EvalLog,
    EvalSample,
    EvalSampleSummary,
    read_eval_log_sample,
    read_eval_log_sample_summaries,
)
from inspect_ai.scorer import Score
from pydantic import BaseModel, ValidationError

from audit_env.analysis.logs import Kind, Unusable, header
from audit_env.catalog.models import Rate
from audit_env.catalog.phenotype import Beside, Phenotype
from audit_env.evidence.evidence_eval import METADATA_KEY as EVIDENCE_KEY
from audit_env.evidence.evidence_eval import Evidence
from audit_env.game.cost import Use, price_list
from audit_env.game.outcome import METADATA_KEY as OUTCOME_KEY
from audit_env.game.outcome import Outcome
from audit_env.game.table import auditor_of
from audit_env.naturalness.naturalness_eval import SHEET as NATURALNESS_KEY
from audit_env.naturalness.sheet import Naturalness
from audit_env.phenotype.strength_eval import SHEET as PHENOTYPE_KEY

Row = dict[str, Any]
Rows = dict[str, list[Row]]
"""By frame: logs, audits, evidence, naturalness, gates, phenotypes."""

_Model = TypeVar("_Model", bound=BaseModel)

_HEAVY = {"store", "events", "messages", "attachments", "output"}
_LOCAL = ("organism/", "none/", "human/")
_NOBODY = "nothing named"


def rows_of(path: Path) -> Rows:
    """What a log says.

    Args:
        path: Its file.

    Returns:
        Rows of plain data, by frame.

    Raises:
        Unusable: If it cannot be used.
    """
    log, kind = header(path)
    try:
        summaries = read_eval_log_sample_summaries(str(path))
        return {"logs": [_of_log(path, log, kind, len(summaries))], **_READERS[kind](path, log, summaries)}
    except ValidationError as error:
        raise Unusable(f"made by another version of audit_env ({error.error_count()} fields do not fit)") from error
    except Unusable:
        raise
    except Exception as error:  # Damaged archives raise whatever the layer that trips raises.
        raise Unusable(f"damaged: its samples cannot be read ({type(error).__name__})") from error


def _of_log(path: Path, log: EvalLog, kind: Kind, samples: int) -> Row:
    metadata = log.eval.metadata or {}
    return {
        "log": log.eval.eval_id,
        "file": path.name,
        "path": str(path),
        "kind": kind,
        "task": log.eval.task.rpartition("/")[2],
        "task_id": log.eval.task_id,
        "version": str(log.eval.task_version),
        "created": log.eval.created,
        "status": log.status,
        "samples": samples,
        "planned": (log.eval.dataset.samples or 0) * (log.eval.config.epochs or 1),
        "set": metadata.get("set"),
        "seed": metadata.get("seed"),
        "model": log.eval.model,
    }


def _audits(path: Path, log: EvalLog, summaries: Iterable[EvalSampleSummary]) -> Rows:
    prices, metadata = price_list(), log.eval.metadata or {}
    auditor, who = auditor_of(log), _who(log)
    rows = []
    for summary in summaries:
        score, outcome = _parsed(path, summary, OUTCOME_KEY, Outcome)
        told = outcome or _unscored(summary)
        tokens = {model: use for model, use in summary.model_usage.items() if not model.startswith(_LOCAL)}
        rows.append(
            {
                "log": log.eval.eval_id,
                "sample": str(summary.id),
                "epoch": summary.epoch,
                "auditor": auditor,
                "who": who,
                "set": summary.metadata.get("set", metadata.get("set")),
                "seed": metadata.get("seed"),
                "brief": summary.metadata.get("brief"),
                "named_first": _named_first(score),
                "seconds": summary.working_time,
                "model_tokens": sum(use.total_tokens for use in tokens.values()),
                "dollars": Use(told.affordance, auditor, log.eval.model, tokens).cost(prices),
                **told.model_dump(mode="json"),
            }
        )
    return {"audits": rows}


def _evidence(path: Path, log: EvalLog, summaries: Iterable[EvalSampleSummary]) -> Rows:
    read = (_parsed(path, summary, EVIDENCE_KEY, Evidence)[1] for summary in summaries)
    seed = (log.eval.metadata or {}).get("seed")
    return {
        "evidence": [
            {"log": log.eval.eval_id, "seed": seed, **one.model_dump(mode="json", exclude={"clean"})}
            for one in read
            if one
        ]
    }


def _naturalness(path: Path, log: EvalLog, summaries: Iterable[EvalSampleSummary]) -> Rows:
    read = (_parsed(path, summary, NATURALNESS_KEY, Naturalness)[1] for summary in summaries)
    sheets = [sheet for sheet in read if sheet]
    return {
        "naturalness": [
            {
                "log": log.eval.eval_id,
                "organism": sheet.organism,
                "made_of": sheet.made_of,
                "row": row.name,
                "group": row.group,
                "unit": row.unit,
                "base": row.base,
                "target": row.target,
                "sham": row.sham,
                "verdict": row.verdict,
                "difference": row.versus_base.difference if row.versus_base else None,
                "low": row.versus_base.low if row.versus_base else None,
                "high": row.versus_base.high if row.versus_base else None,
                "n": row.versus_base.n if row.versus_base else 0,
                "stands": not sheet.stopped_by,
            }
            for sheet in sheets
            for row in sheet.rows
        ],
        "gates": [
            {"log": log.eval.eval_id, "organism": sheet.organism, "made_of": sheet.made_of, **gate.model_dump()}
            for sheet in sheets
            for gate in sheet.gates
        ],
    }


def _phenotypes(path: Path, log: EvalLog, summaries: Iterable[EvalSampleSummary]) -> Rows:
    read = (_parsed(path, summary, PHENOTYPE_KEY, Phenotype)[1] for summary in summaries)
    return {
        "phenotypes": [
            {
                "log": log.eval.eval_id,
                "organism": sheet.organism,
                "quirk": sheet.quirk,
                "made_of": sheet.weights_sha256,
                "measure": measure,
                "side": side,
                **rate.model_dump(),
            }
            for sheet in read
            if sheet
            for part in (sheet.firing, sheet.confession)
            if part
            for measure, beside in part
            if isinstance(beside, Beside)
            for side, rate in beside
            if isinstance(rate, Rate)
        ]
    }


_READERS: dict[Kind, Callable[[Path, EvalLog, Iterable[EvalSampleSummary]], Rows]] = {
    "game": _audits,
    "evidence": _evidence,
    "naturalness": _naturalness,
    "phenotype": _phenotypes,
}


def _parsed(
    path: Path, summary: EvalSampleSummary, key: str, model: type[_Model]
) -> tuple[Score | None, _Model | None]:
    """The score of a sample that carries something, and what it carries."""
    for name, score in (summary.scores or {}).items():
        carried = (score.metadata or {}).get(key)
        if carried is None:
            continue
        if not isinstance(carried, dict):  # Summaries leave out what is longer than 1,000 characters.
            whole: EvalSample = read_eval_log_sample(str(path), summary.id, summary.epoch, exclude_fields=_HEAVY)
            score = (whole.scores or {})[name]
            carried = (score.metadata or {})[key]
        return score, model.model_validate(carried)
    return None, None


def _unscored(summary: EvalSampleSummary) -> Outcome:
    """A sample that was cancelled, or whose scorer failed: it is counted, never dropped."""
    said = summary.metadata
    return Outcome(
        status="errored",
        reason=summary.error or "The sample was not scored.",
        alias=said.get("alias", ""),
        affordance=said.get("affordance", "black_box"),
        answers=said.get("answers", "menu"),
    )


def _named_first(score: Score | None) -> str | None:
    """The first claim, which the scorer's answer puts after the probability."""
    name = (score.answer or "").partition(": ")[2] if score else ""
    return name if name and name != _NOBODY else None


def _who(log: EvalLog) -> str:
    if log.eval.model.startswith("human/") or (log.eval.solver or "").rpartition("@")[2].startswith("human"):
        return "person"
    return "script" if log.eval.model == "none/none" else "agent"
