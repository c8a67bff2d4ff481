"""The report: every question that logs answer, and what is in none of the figures."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from audit_env.analysis.answers import Answer
from audit_env.analysis.frames import Frames, Versions, load
from audit_env.analysis.logs import Skipped
from audit_env.analysis.questions import QUESTIONS


@dataclass(frozen=True)
class Report:
    """Answers, and what they rest on."""

    answers: tuple[Answer, ...]
    logs: int
    audits: int
    not_run: int
    """Samples that were planned in the logs and are not in them."""
    empty: int
    """Samples of tool evidence, naturalness and phenotypes that hold nothing."""
    skipped: tuple[Skipped, ...]
    remarks: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """What the figures rest on, in sentences."""
        said = [f"Audits: {self.audits:,}; logs: {self.logs:,}."]
        if self.empty:
            said.append(
                f"Samples of other tasks that broke off or could not be judged, and are in no figure: {self.empty:,}."
            )
        if self.not_run:
            said.append(
                f"Planned samples that were not run, in logs that were cancelled or broke off: {self.not_run:,}."
            )
        said += self.remarks
        if self.skipped:
            said.append(f"Logs that are in no figure: {len(self.skipped):,}.")
            said += [f"{one.log}: {one.why}" for one in self.skipped]
        return said


def report(sources: Iterable[str | Path], *, only: Iterable[str] = (), versions: Versions = "newest") -> Report:
    """Answer questions from logs.

    Args:
        sources: Log files, or folders that are searched with their subfolders.
        only: Keys of the questions. Default: all.
        versions: What to do with logs by different versions of the rules.

    Returns:
        The report.

    Raises:
        ParameterError: If a path does not exist, or logs follow different rules and `versions` is "refuse".
    """
    frames = load(*sources, versions=versions)
    wanted = list(only) or list(QUESTIONS)
    return Report(
        answers=tuple(QUESTIONS[key](frames) for key in QUESTIONS if key in wanted),
        logs=len(frames.logs),
        audits=len(frames.audits),
        not_run=int((frames.logs["planned"] - frames.logs["samples"]).clip(lower=0).sum()) if len(frames.logs) else 0,
        empty=int(frames.logs["empty"].sum()),
        skipped=frames.skipped,
        remarks=tuple(_remarks(frames)),
    )


def _remarks(frames: Frames) -> Iterable[str]:
    games = frames.logs[frames.logs["kind"] == "game"]
    if games["version"].nunique() > 1:
        yield (
            f"POOLED over versions {', '.join(sorted(games['version'].unique()))} of the rules, which do not compare."
        )
    warned = frames.audits[frames.audits["warning"].fillna("") != ""]
    for warning, part in warned.groupby("warning"):
        yield f"Audits with a warning of their judge: {len(part):,} ({warning})"
