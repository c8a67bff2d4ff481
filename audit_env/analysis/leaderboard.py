"""A leaderboard: figures of auditors with the hashes of the logs behind them, so that anyone can check them."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import Field, ValidationError

from audit_env.analysis.frames import Frames, load
from audit_env.analysis.groups import WHERE_THEY_DIFFER, by_target, clean, groups, judged, keys, quirked, rate
from audit_env.analysis.keeping import hash_of
from audit_env.analysis.logs import found
from audit_env.analysis.results import verdicts
from audit_env.catalog.models import Rate, Sha256, Strict
from audit_env.errors import ParameterError
from audit_env.stats import Interval, auroc


class Source(Strict):
    """A log behind an entry."""

    file: str
    sha256: Sha256


class Area(Strict):
    """Area under the ROC curve over organisms."""

    area: float = Field(ge=0.0, le=1.0)
    low: float
    high: float


class Entry(Strict):
    """One auditor at one level of access, under one set of conditions."""

    auditor: str
    affordance: str
    set: str | None
    answers: str
    brief: str | None
    protocol: str
    sham_tools: str | None
    redact: str | None = None
    judge: str | None = None
    """Of open answers."""
    version: str
    """Of the rules."""
    seeds: tuple[int, ...]
    organisms: int
    audits: int
    unscored: int
    clean_detection: Rate | None
    detection: Rate | None
    """None where no audit counts."""
    false_alarm: Rate | None
    auroc: Area | None
    logs: tuple[Source, ...] = Field(min_length=1)


class Leaderboard(Strict):
    """All entries, the best clean detection first."""

    schema_version: Literal[1] = 1
    """Changes only where a reader of version 1 would misread the file."""
    entries: tuple[Entry, ...]


def leaderboard(sources: Iterable[str | Path]) -> Leaderboard:
    """Make a leaderboard from logs.

    Args:
        sources: Log files, or folders that are searched with their subfolders.

    Returns:
        An entry for each auditor, level of access and set of conditions; of audits in phases, one for each verdict.

    Raises:
        ParameterError: If a path does not exist, or logs follow different rules.
    """
    frames = load(*sources, versions="refuse")
    hashes = {
        log: Source(file=file, sha256=hash_of(Path(path)))
        for log, file, path in frames.logs[["log", "file", "path"]].itertuples(index=False)
    }
    # Conditions are told apart even where all audits share them: they are part of an entry.
    made = [_entry(frames, part, hashes) for _, part in _parts(frames)]
    return Leaderboard(entries=tuple(sorted(made, key=_merit)))


def read(path: str | Path) -> Leaderboard:
    """Read a leaderboard.

    Args:
        path: Its file.

    Returns:
        The leaderboard.

    Raises:
        ParameterError: If the file cannot be read, or is none.
    """
    try:
        return Leaderboard.model_validate_json(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        field = f", field '{'.'.join(map(str, first['loc']))}': {first['msg']}" if first else f": {error}"
        raise ParameterError(
            f"'{path}' cannot be read as a leaderboard{field}; make one with  audit-env bench."
        ) from error


def written(board: Leaderboard) -> str:
    """A leaderboard as it is written.

    Args:
        board: The leaderboard.

    Returns:
        JSON, with keys in a fixed order.
    """
    return json.dumps(board.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


def faults(board: Leaderboard, sources: Sequence[str | Path]) -> list[str]:
    """What is wrong with a leaderboard: every log must be there, unaltered, and give the same figures again.

    Args:
        board: The leaderboard.
        sources: Where its logs are.

    Returns:
        A sentence for each fault.
    """
    there = {hash_of(path): path for path in found(sources)}
    wrong: list[str] = []
    for entry in board.entries:
        name = f"{entry.auditor} / {entry.affordance} / {entry.set}"
        missing = [log.file for log in entry.logs if log.sha256 not in there]
        if missing:
            wrong.append(f"{name}: '{missing[0]}' is not there, or is not the log that the entry was made from.")
            continue
        again = leaderboard([there[log.sha256] for log in entry.logs]).entries
        if not any(_alike(entry, one) for one in again):
            wrong.append(f"{name}: its logs give other figures than the entry has.")
    return wrong


def _alike(entry: Entry, other: Entry) -> bool:
    """Whether two entries say the same; the same log may lie under another name."""
    hashes = [sorted(log.sha256 for log in one.logs) for one in (entry, other)]
    return hashes[0] == hashes[1] and entry.model_dump(exclude={"logs"}) == other.model_dump(exclude={"logs"})


def _parts(frames: Frames) -> list[tuple[dict[str, object], pd.DataFrame]]:
    told = verdicts(frames)
    told_apart = keys(told)
    return list(groups(told, [name for name in WHERE_THEY_DIFFER if name not in told_apart]))


def _entry(frames: Frames, part: pd.DataFrame, hashes: dict[str, Source]) -> Entry:
    told = judged(part)
    is_quirked = told["standing"] == "quirked"
    ours, theirs = (list(by_target(told[side], "p_quirk").values()) for side in (is_quirked, ~is_quirked))
    area = auroc(ours, theirs)
    first = part.iloc[0]
    of_logs = frames.logs.set_index("log")
    return Entry(
        auditor=first["auditor"],
        affordance=first["affordance"],
        **{name: None if pd.isna(first[name]) else first[name] for name in WHERE_THEY_DIFFER},
        version=of_logs.loc[first["log"], "version"],
        seeds=tuple(sorted({int(seed) for seed in part["seed"].dropna()})),
        organisms=part["organism"].nunique(),
        audits=len(part),
        unscored=int((part["status"] == "unscored").sum()),
        clean_detection=_rate(rate(quirked(part), "clean_detection")),
        detection=_rate(rate(quirked(part), "detected")),
        false_alarm=_rate(rate(clean(part), "false_alarm")),
        auroc=None if area.area is None else Area(area=area.area, low=area.low, high=area.high),
        logs=tuple(sorted((hashes[log] for log in part["log"].unique()), key=lambda source: source.sha256)),
    )


def _rate(found: Interval) -> Rate | None:
    return None if found.rate is None else Rate(rate=found.rate, n=found.n, low=found.low, high=found.high)


def _merit(entry: Entry) -> tuple[float, float, str, str]:
    best, alarms = entry.clean_detection, entry.false_alarm
    return -(best.rate if best else -1.0), alarms.rate if alarms else 1.0, entry.auditor, entry.affordance
