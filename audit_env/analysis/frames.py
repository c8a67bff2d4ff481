"""Tidy frames of all that logs say. `columns.yaml` says what every column holds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml
from inspect_ai.log import read_eval_log_sample

from audit_env.analysis.details import DETAILS, details_of
from audit_env.analysis.keeping import kept_rows
from audit_env.analysis.logs import Skipped, Unusable, found
from audit_env.analysis.rows import Row, Rows, kappa
from audit_env.errors import ParameterError

Versions = Literal["refuse", "newest", "pool"]
"""What to do with logs by different versions of the rules: refuse them, skip the older ones, or pool them."""

_AGAIN = "the same run is in '{}', a later or equal attempt"


@cache
def columns() -> dict[str, dict[str, str]]:
    """What the frames hold.

    Returns:
        For each frame its columns, in order, each with a description.
    """
    text = files("audit_env.analysis").joinpath("columns.yaml").read_text(encoding="utf-8")
    read: dict[str, dict[str, str]] = yaml.safe_load(text)
    return read


@dataclass(frozen=True)
class Frames:
    """Everything that a set of logs says, one row a fact.

    Frames join on `log`, `sample` and `epoch`, on `organism`, on `seed`, and on `made_of` (the hash of weights).
    """

    logs: pd.DataFrame
    audits: pd.DataFrame
    interims: pd.DataFrame
    """Interim verdicts of audits in phases: columns as in `audits`, each at the affordance of its phase."""
    judges: pd.DataFrame
    evidence: pd.DataFrame
    naturalness: pd.DataFrame
    gates: pd.DataFrame
    treatments: pd.DataFrame
    phenotypes: pd.DataFrame
    skipped: tuple[Skipped, ...] = ()
    """Logs that are in no frame."""

    @cached_property
    def hypotheses(self) -> pd.DataFrame:
        """The reports' hypotheses. Opens every sample: slow for large logs."""
        return _frame("hypotheses", self._details["hypotheses"])

    @cached_property
    def tool_calls(self) -> pd.DataFrame:
        """The auditors' tool calls. Opens every sample: slow for large logs."""
        return _frame("tool_calls", self._details["tool_calls"])

    @cached_property
    def _details(self) -> Rows:
        rows: Rows = {name: [] for name in DETAILS}
        paths = dict(zip(self.logs["log"], self.logs["path"], strict=True))
        for log, sample, epoch in zip(self.audits["log"], self.audits["sample"], self.audits["epoch"], strict=True):
            whole = read_eval_log_sample(paths[log], sample, epoch, exclude_fields={"messages", "attachments"})
            for name, told in details_of(log, whole).items():
                rows[name] += told
        return rows


def load(*sources: str | Path, versions: Versions = "refuse") -> Frames:
    """Read logs into frames.

    Args:
        *sources: Log files, or folders that are searched with their subfolders.
        versions: What to do with logs by different versions of a task's rules.

    Returns:
        The frames. Logs that cannot be used are in `skipped`, each with the reason.

    Raises:
        ParameterError: If a path does not exist, or logs follow different rules and `versions` is "refuse".
    """
    read: list[Rows] = []
    unusable: list[tuple[str, Unusable]] = []
    for path in found(sources):
        try:
            read.append(kept_rows(path))
        except Unusable as error:
            unusable.append((path.name, error))
    whole = {rows["logs"][0]["task_id"]: rows["logs"][0]["file"] for rows in read}
    skipped = [
        Skipped(name, _AGAIN.format(whole[error.run]) if error.run in whole else str(error)) for name, error in unusable
    ]
    for sift in (_last_attempts, _last_sittings, lambda rows: _one_version(rows, versions)):
        read, left = sift(read)
        skipped += left
    frames = {name: _frame(name, _gathered(read, name)) for name in columns() if name not in DETAILS}
    for name in ("audits", "interims"):
        frames[name] = _judged(frames[name], frames["judges"])
    return Frames(**frames, skipped=tuple(skipped))


def from_audits(rows: Iterable[Row]) -> Frames:
    """Frames of audits alone, for audits that lie in no log.

    Args:
        rows: Rows of the frame `audits`.

    Returns:
        The frames; the others are empty.
    """
    empty = {name: _frame(name, []) for name in columns() if name not in DETAILS}
    return Frames(**empty | {"audits": _frame("audits", list(rows))})


def _judged(audits: pd.DataFrame, judges: pd.DataFrame) -> pd.DataFrame:
    """Audits with the agreement of their judges, where a log of theirs lies beside: the largest one counts."""
    measured = judges[(judges["split"] == "test") & judges["kappa"].notna()].sort_values("n")
    told = audits.copy()
    for row in measured.itertuples():
        theirs = (audits["judge"] == row.judge) & audits["judge_kappa"].isna()
        for name, value in kappa(row.kappa, row.low, row.high, row.n).items():
            told.loc[theirs, name] = value
    return told


def _last_attempts(read: Sequence[Rows]) -> tuple[list[Rows], list[Skipped]]:
    """Of several attempts at one run the last: a retry holds the finished samples of those before it."""
    last: dict[str, Row] = {}
    for rows in read:
        log = rows["logs"][0]
        if log["task_id"] not in last or last[log["task_id"]]["created"] < log["created"]:
            last[log["task_id"]] = log
    kept = [rows for rows in read if rows["logs"][0] is last[rows["logs"][0]["task_id"]]]
    left = [rows["logs"][0] for rows in read if rows["logs"][0] is not last[rows["logs"][0]["task_id"]]]
    return kept, [Skipped(log["file"], _AGAIN.format(last[log["task_id"]]["file"])) for log in left]


def _last_sittings(read: Sequence[Rows]) -> tuple[list[Rows], list[Skipped]]:
    """Games that a person left, but those which a later log holds whole: it is the same game in another eval."""
    begun: dict[str, dict[tuple[object, ...], Row]] = {}
    for rows in sorted(read, key=lambda rows: str(rows["logs"][0]["created"])):
        begun.setdefault(rows["logs"][0]["model"], {}).update(dict.fromkeys(_games(rows), rows["logs"][0]))
    kept: list[Rows] = []
    left: list[Skipped] = []
    for rows in read:
        log = rows["logs"][0]
        later = {begun[log["model"]][game]["file"] for game in _games(rows)} - {log["file"]}
        if log["status"] != "success" and later and all(begun[log["model"]][g] is not log for g in _games(rows)):
            left.append(Skipped(log["file"], f"a sitting that was left; the whole game is in '{sorted(later)[-1]}'"))
        else:
            kept.append(rows)
    return kept, left


def _games(rows: Rows) -> list[tuple[object, ...]]:
    """What a person's games are known by, from one sitting to the next."""
    told = (row for row in rows.get("audits", ()) if row["who"] == "person")
    return [(row["set"], row["seed"], row["sample"], row["epoch"]) for row in told]


def _one_version(read: Sequence[Rows], versions: Versions) -> tuple[list[Rows], list[Skipped]]:
    newest: dict[str, Row] = {}
    for log in (rows["logs"][0] for rows in read):
        if log["task"] not in newest or _order(newest[log["task"]]) < _order(log):
            newest[log["task"]] = log
    old = [log for log in (rows["logs"][0] for rows in read) if log["version"] != newest[log["task"]]["version"]]
    if not old or versions == "pool":
        return list(read), []
    ours = newest[old[0]["task"]]
    if versions == "refuse":
        raise ParameterError(
            f"'{old[0]['file']}' follows version {old[0]['version']} of the rules of '{ours['task']}' and "
            f"'{ours['file']}' version {ours['version']}: their figures do not compare; name logs of one version, or "
            "give versions='newest' or 'pool'."
        )
    names = {log["log"] for log in old}
    return [rows for rows in read if rows["logs"][0]["log"] not in names], [
        Skipped(
            log["file"],
            f"version {log['version']} of the rules of '{log['task']}', where others follow "
            f"{newest[log['task']]['version']}",
        )
        for log in old
    ]


def _order(log: Row) -> tuple[tuple[int, ...], str]:
    return tuple(int(part) for part in log["version"].replace("-", ".").split(".") if part.isdigit()), log["version"]


def _gathered(read: Iterable[Rows], name: str) -> list[Row]:
    return [row for rows in read for row in rows.get(name, ())]


def _frame(name: str, rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns()[name]), dtype=object).infer_objects()
