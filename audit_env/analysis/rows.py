"""One log as rows of plain data, from its header and summaries; samples are opened where a summary left data out."""

from collections.abc import Callable, Iterable, Sequence
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

from audit_env.analysis import opened
from audit_env.analysis.logs import Kind, Unusable, header
from audit_env.catalog.models import Rate
from audit_env.catalog.phenotype import Beside, Phenotype
from audit_env.evidence.evidence_eval import METADATA_KEY as EVIDENCE_KEY
from audit_env.evidence.evidence_eval import Evidence
from audit_env.game.audits import auditor_of
from audit_env.game.cost import Use, price_list
from audit_env.game.grader import GRADER_ROLE
from audit_env.game.judging.agreement import Verdict, agreement
from audit_env.game.judging.judges import MEASURED_KEY
from audit_env.game.judging.validation import VERDICT_KEY
from audit_env.game.outcome import INTERIMS_KEY, Outcome, interims_of
from audit_env.game.outcome import METADATA_KEY as OUTCOME_KEY
from audit_env.game.record import AuditRecord
from audit_env.game.table import JUDGED
from audit_env.naturalness.naturalness_eval import SHEET as NATURALNESS_KEY
from audit_env.naturalness.sheet import Naturalness
from audit_env.phenotype.strength_eval import SHEET as PHENOTYPE_KEY

Row = dict[str, Any]
Rows = dict[str, list[Row]]
"""By frame: logs, audits, interims, judges, evidence, naturalness, gates, treatments, phenotypes."""

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
        return {"logs": [_of_log(path, log, kind, summaries)], **_READERS[kind](path, log, summaries)}
    except ValidationError as error:
        raise Unusable(f"made by another version of audit_env ({error.error_count()} fields do not fit)") from error
    except Unusable:
        raise
    except Exception as error:  # Damaged archives raise whatever the layer that trips raises.
        raise Unusable(f"damaged: its samples cannot be read ({type(error).__name__})") from error


def _of_log(path: Path, log: EvalLog, kind: Kind, summaries: Sequence[EvalSampleSummary]) -> Row:
    metadata, key = log.eval.metadata or {}, _CARRIED.get(kind)
    carried = [any(key in (score.metadata or {}) for score in (one.scores or {}).values()) for one in summaries]
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
        "samples": len(summaries),
        "planned": (log.eval.dataset.samples or 0) * (log.eval.config.epochs or 1),
        "empty": carried.count(False) if key else 0,
        "set": metadata.get("set"),
        "seed": metadata.get("seed"),
        "model": log.eval.model,
    }


def _audits(path: Path, log: EvalLog, summaries: Sequence[EvalSampleSummary]) -> Rows:
    prices, metadata = price_list(), log.eval.metadata or {}
    auditor, who = auditor_of(log), _who(log)
    made: dict[str, str | None] = {}
    judge = {"judge": _judge(log)} | _measured(summaries)
    rows: list[Row] = []
    interims: list[Row] = []
    for summary in summaries:
        score, outcome = _parsed(path, summary, OUTCOME_KEY, Outcome)
        told = outcome or _unscored(summary)
        if told.organism and told.alias not in made:
            made[told.alias] = _made_of(path, summary)
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
                "made_of": made.get(told.alias) if told.organism else None,
                **(judge if told.answers == "open" else {}),
                **told.model_dump(mode="json"),
            }
        )
        then = {"named_first": None, "seconds": None, "model_tokens": None, "dollars": None}
        interims += [rows[-1] | then | one.model_dump(mode="json") for one in _interims(path, summary)]
    return {"audits": rows, "interims": interims}


def _interims(path: Path, summary: EvalSampleSummary) -> list[Outcome]:
    for name, score in (summary.scores or {}).items():
        if isinstance((score.metadata or {}).get(INTERIMS_KEY), str):  # Left out as too long.
            whole = read_eval_log_sample(str(path), summary.id, summary.epoch, exclude_fields=_HEAVY)
            score = (whole.scores or {})[name]
        if found := interims_of(score):
            return found
    return []


def _made_of(path: Path, summary: EvalSampleSummary) -> str | None:
    """What the target of an audit was made of: an alias stands for the same weights in all of a log."""
    whole = read_eval_log_sample(str(path), summary.id, summary.epoch, exclude_fields=_HEAVY - {"store"})
    return opened.target(whole.store_as(AuditRecord))[1]


def _judge(log: EvalLog) -> str:
    """Who judged open answers: the game's scorer and the judges' own task name it alike."""
    options = {name: value for one in log.eval.scorers or [] for name, value in (one.options or {}).items()}
    asked = options | (log.eval.metadata or {})
    if (name := asked.get("judge", GRADER_ROLE)) != GRADER_ROLE:
        return str(name)
    bound = (log.eval.model_roles or {}).get(GRADER_ROLE) or ()
    models = bound if isinstance(bound, (list, tuple)) else (bound,)
    votes = int(asked.get("votes", 1))
    # The game asks the first model of the role.
    return (models[0].model if models else "an unnamed grader") + (f" x{votes}" if votes > 1 else "")


def _measured(summaries: Iterable[EvalSampleSummary]) -> Row:
    """The agreement that a judge brought along."""
    beside = ((score.metadata or {}).get(MEASURED_KEY) for one in summaries for score in (one.scores or {}).values())
    found = next((figures for figures in beside if isinstance(figures, dict)), None)
    return kappa(found["kappa"], found["low"], found["high"], found["n"]) if found else {}


def kappa(value: float, low: float, high: float, n: int) -> Row:
    """A judge's agreement as the cells of an audit.

    Args:
        value: Agreement beyond chance.
        low: Lower end of its interval.
        high: Upper end.
        n: Hypotheses.

    Returns:
        The cells.
    """
    return dict(zip(JUDGED, (value, low, high, n), strict=True))


def _judges(path: Path, log: EvalLog, summaries: Sequence[EvalSampleSummary]) -> Rows:
    beside = ((score.metadata or {}).get(VERDICT_KEY) for one in summaries for score in (one.scores or {}).values())
    found = agreement([Verdict(**one) for one in beside if one])
    return {
        "judges": [
            {
                "log": log.eval.eval_id,
                "judge": _judge(log),
                "split": (log.eval.metadata or {}).get("split"),
                "kappa": found.kappa.value,
                "low": found.kappa.low,
                "high": found.kappa.high,
                "n": found.judged,
                "unusable": found.unusable,
            }
        ]
    }


def _evidence(path: Path, log: EvalLog, summaries: Sequence[EvalSampleSummary]) -> Rows:
    read = (_parsed(path, summary, EVIDENCE_KEY, Evidence)[1] for summary in summaries)
    seed = (log.eval.metadata or {}).get("seed")
    return {
        "evidence": [
            {"log": log.eval.eval_id, "seed": seed, **one.model_dump(mode="json", exclude={"clean"})}
            for one in read
            if one
        ]
    }


def _naturalness(path: Path, log: EvalLog, summaries: Sequence[EvalSampleSummary]) -> Rows:
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


def _phenotypes(path: Path, log: EvalLog, summaries: Sequence[EvalSampleSummary]) -> Rows:
    read = [_parsed(path, summary, PHENOTYPE_KEY, Phenotype)[1] for summary in summaries]
    sheets = [(_of_sheet(log, sheet), sheet) for sheet in read if sheet]
    return {
        "phenotypes": [
            known | {"measure": measure, "side": side, **rate.model_dump()}
            for known, sheet in sheets
            for part in (sheet.firing, sheet.confession)
            if part
            for measure, beside in part
            if isinstance(beside, Beside)
            for side, rate in beside
            if isinstance(rate, Rate)
        ],
        "treatments": [
            known
            | {"treatment": treated.treatment, "amount": treated.amount, "trigger": trigger}
            | getattr(treated, f"{trigger}_trigger").model_dump()
            for known, sheet in sheets
            for treated in sheet.persistence
            for trigger in ("on", "off")
        ],
    }


def _of_sheet(log: EvalLog, sheet: Phenotype) -> Row:
    return {
        "log": log.eval.eval_id,
        "organism": sheet.organism,
        "quirk": sheet.quirk,
        "made_of": sheet.weights_sha256,
    }


_CARRIED: dict[Kind, str] = {"evidence": EVIDENCE_KEY, "naturalness": NATURALNESS_KEY, "phenotype": PHENOTYPE_KEY}
"""What a score of a log must carry to be of use; an audit without a score is counted as one that broke off."""

_READERS: dict[Kind, Callable[[Path, EvalLog, Sequence[EvalSampleSummary]], Rows]] = {
    "game": _audits,
    "judge": _judges,
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
