"""Which logs there are, and what one of them is: read from headers and summaries, so that large logs are quick."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from inspect_ai.log import EvalLog, list_eval_logs, read_eval_log

from audit_env.errors import ParameterError
from audit_env.game.outcome import TRIAL

Kind = Literal["game", "evidence", "naturalness", "phenotype", "judge"]

_KINDS: dict[str, Kind] = {
    "verdict": "game",
    "tool_evidence": "evidence",
    "naturalness": "naturalness",
    "phenotype": "phenotype",
    "persistence": "phenotype",
    "agrees_with_label": "judge",
}
"""By the name of the scorer that the log was made with."""


@dataclass(frozen=True)
class Skipped:
    """A log that is in no figure, and why."""

    log: str
    """Name of the file."""
    why: str


class Unusable(Exception):
    """A log that cannot be used; its message says why. It never leaves this package.

    Args:
        why: The message.
        run: Inspect's id of the run, where the log tells it: another attempt at it may be of use.
    """

    def __init__(self, why: str, run: str | None = None) -> None:
        super().__init__(why)
        self.run = run


def found(sources: Iterable[str | Path]) -> list[Path]:
    """The log files under paths.

    Args:
        sources: Log files, or folders that are searched with their subfolders.

    Returns:
        The files, each once, by name. In a folder, those that are named as Inspect names logs.

    Raises:
        ParameterError: If a path does not exist, or there is no log.
    """
    paths: set[Path] = set()
    for source in map(Path, sources):
        if not source.exists():
            raise ParameterError(f"'{source}' does not exist: give a log file (.eval or .json) or a folder of logs.")
        if source.is_file():
            paths.add(source)
        else:
            named = (Path(info.name.removeprefix("file://")) for info in list_eval_logs(str(source.resolve())))
            # Also those that Inspect would not list, so that none is dropped in silence.
            paths |= {path.resolve() for path in (*named, *source.rglob("*.eval"))}
    if not paths:
        raise ParameterError("There is no log in what was named: run  inspect eval tasks/hidden_objective.py  first.")
    return sorted(paths, key=lambda path: (path.name, str(path)))


def header(path: Path) -> tuple[EvalLog, Kind]:
    """What a log says of itself.

    Args:
        path: Its file.

    Returns:
        The log without samples, and what it is a log of.

    Raises:
        Unusable: If it cannot be read, is not finished, or is of something else.
    """
    try:
        log = read_eval_log(str(path), header_only=True)
    except Exception as error:  # Damaged archives raise whatever the layer that trips raises.
        raise Unusable(f"damaged or not a log of Inspect ({_first_line(error)})") from error
    if log.status == "started":
        raise Unusable(
            "half-written: it is still running or broke off; go on with  inspect eval-retry", log.eval.task_id
        )
    kind = next((_KINDS[name] for name in scorers(log) if name in _KINDS), None)
    if kind is None:
        raise Unusable(f"foreign: task '{log.eval.task}' is none of audit_env's")
    if TRIAL in (log.eval.tags or ()):
        raise Unusable("a trial: its player was told the truth, so that it counts nowhere")
    return log, kind


def scorers(log: EvalLog) -> list[str]:
    """Names of a log's scorers, without the package.

    Args:
        log: The log.

    Returns:
        The names.
    """
    return [scorer.name.rpartition("/")[2] for scorer in log.eval.scorers or []]


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:120]}" if lines else type(error).__name__
