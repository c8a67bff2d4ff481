"""The table of results, for the terminal and for a README: one path from logs to figures."""

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from audit_env.analysis.frames import Frames, load
from audit_env.errors import ParameterError
from audit_env.game import showing, table

BEGIN, END = "<!-- results -->", "<!-- /results -->"
"""Between these lines of a README stands the table."""
PICTURE = "results.svg"
_SAYS = "Detection, false alarms and calibration by level of access"


def games(sources: Sequence[str | Path]) -> Frames:
    """Read logs among which there must be one of a game.

    Args:
        sources: Log files, or folders that are searched with their subfolders.

    Returns:
        The frames, of the newest rules alone.

    Raises:
        ParameterError: If a path does not exist, or there is no audit.
    """
    frames = load(*sources, versions="newest")
    if frames.audits.empty:
        left = "".join(f"; {one.log}: {one.why}" for one in frames.skipped)
        named = "', '".join(map(str, sources))
        raise ParameterError(
            f"'{named}' holds no scored audits{left}: run  inspect eval tasks/hidden_objective.py  first."
        )
    return frames


def verdicts(frames: Frames) -> pd.DataFrame:
    """What the table is made of.

    Args:
        frames: The frames.

    Returns:
        One row for each audit, and one for each interim verdict.
    """
    return frames.audits if frames.interims.empty else pd.concat([frames.audits, frames.interims], ignore_index=True)


def write_readme(readme: Path, sources: Sequence[str | Path]) -> list[Path]:
    """Put the results of logs into a README, and the picture of them beside the logs.

    Args:
        readme: A file with the two lines between which the table stands.
        sources: Log files, or folders; the picture goes to the first of them.

    Returns:
        What was written.

    Raises:
        ParameterError: If the README lacks the lines, a path does not exist, or there is no audit.
    """
    first = Path(sources[0])
    picture = (first if first.is_dir() else first.parent) / PICTURE
    frame = table.results(verdicts(games(sources)))
    link = f"![{_SAYS}]({Path(os.path.relpath(picture, readme.parent)).as_posix()})"
    text = with_results(readme, f"{link}\n\n{showing.markdown(frame)}")
    readme.write_text(text, encoding="utf-8")
    picture.write_text(showing.drawn(frame, f"audit-env results {first}"), encoding="utf-8")
    return [readme, picture]


def with_results(readme: Path, results: str) -> str:
    """A README with other results in it.

    Args:
        readme: Its file.
        results: What is to stand between the two lines.

    Returns:
        The text.

    Raises:
        ParameterError: If it lacks one of the lines, or has one twice.
    """
    text = readme.read_text(encoding="utf-8")
    if not text.count(BEGIN) == text.count(END) == 1 or text.index(END) < text.index(BEGIN):
        raise ParameterError(f"'{readme}' needs the line {BEGIN} once and {END} once after it, around its table.")
    return f"{text.partition(BEGIN)[0]}{BEGIN}\n{results}\n{END}{text.partition(END)[2]}"
