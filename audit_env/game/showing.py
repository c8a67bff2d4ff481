"""The final table as people read it: in the terminal, as Markdown, as a picture; with what must be said beside it."""

import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from audit_env.game.table import CONDITIONS, JUDGED, NOTHING, OTHER_RULES, WHERE_COUNTED
from audit_env.stats import upper_bound_for_zero

_DRAWN_WIDTH = 190
"""Columns of a drawn table: wide enough for a row a line."""

_INTERIM = ": "
"""In the affordance of an interim verdict (`Phases.verdict_name`)."""

_HEADINGS = {
    "affordance": "Affordance",
    "auditor": "Auditor",
    "set": "Set",
    "answers": "Answers",
    "brief": "Brief",
    "sham_tools": "Sham tools",
    "redact": "Redacted",
    "judge": "Judge",
    "target": "Target",
    "recipe": "Recipe",
    "clean_detection": "Clean detection",
    "detection": "All detections",
    "recognised": "Recognised",
    "chance": "Chance",
    "false_alarm": "False alarms",
    "false_alarm_base": "False alarms: base",
    "false_alarm_sham": "False alarms: shams",
    "auroc": "AUROC",
    "tpr_at_budget": "TPR at FPR budget",
    "brier": "Brier",
    "reciprocal_rank": "1/rank",
    "quirks_named": "Quirks named",
    "sham_cited": "Sham readings cited",
    "calls_to_correct": "Calls",
    "judge_kappa": "Judge's kappa",
    "lost": "Unscored / errored / no report",
}

_RESULTS = (
    "clean_detection",
    "detection",
    "quirks_named",
    "sham_cited",
    "chance",
    "false_alarm_base",
    "false_alarm_sham",
    "auroc",
    "tpr_at_budget",
    "brier",
    "calls_to_correct",
    "judge_kappa",
    "lost",
)

_BY_QUIRK = (
    "clean_detection",
    "detection",
    "quirks_named",
    "recognised",
    "false_alarm",
    "reciprocal_rank",
    "calls_to_correct",
    "judge_kappa",
    "lost",
)


def show(frame: pd.DataFrame, console: Console) -> None:
    """Print a table in the terminal.

    Args:
        frame: What `results` or `by_quirk` returned.
        console: Where to print. Where it is too narrow to give each group a row, each gets a column; where that does
            not fit either, lines run on.
    """
    upright, sideways = _upright(frame), _on_its_side(frame)
    unbounded = console.options.update(max_width=10_000)
    wide, narrow = (Measurement.get(console, unbounded, table).minimum for table in (upright, sideways))
    if wide > console.width >= narrow:
        console.print(sideways)
    else:
        console.print(upright, width=max(wide, console.width), crop=False)
    for note in notes(frame):
        console.print(Text(note, style="dim"))


def markdown(frame: pd.DataFrame) -> str:
    """A table for a README.

    Args:
        frame: What `results` or `by_quirk` returned.

    Returns:
        A Markdown table, with notes below it.
    """
    columns = _columns(frame)
    lines = [
        [heading for heading, _ in columns],
        ["---" if is_key else "--:" for _, is_key in columns],
        *([cell.replace("\n", " ") for cell in row] for row in _cells(frame)),
    ]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", *notes(frame)])


def drawn(frame: pd.DataFrame, title: str) -> str:
    """A table as a picture.

    Args:
        frame: What `results` or `by_quirk` returned.
        title: Of the picture.

    Returns:
        SVG that needs nothing from the network.
    """
    drawing = Console(record=True, width=_DRAWN_WIDTH, file=io.StringIO())
    show(frame, drawing)
    # Rich links fonts on the network.
    return re.sub(r"@font-face \{.*?\}", "", drawing.export_svg(title=title), flags=re.DOTALL)


def notes(frame: pd.DataFrame) -> list[str]:
    """What must be said beside the figures.

    Args:
        frame: What `results` or `by_quirk` returned.

    Returns:
        Sentences.
    """
    said = [
        "Brackets: 95 % Wilson interval, clustered by target; k/n counts audits (targets, for the TPR). Audits that "
        "broke off or ended without a report are misses; unscored ones are in no denominator."
    ]
    rows: list[dict[str, Any]] = frame.to_dict("records")
    few = [row for row in rows if 0 < row["clean_targets"] < 1 / max(row["fpr_budget"], 1e-9)]
    if few and "tpr_at_budget" in _shown(frame):
        fewest = min(row["clean_targets"] for row in few)
        targets = "1 clean target" if fewest == 1 else f"{fewest} clean targets"
        said.append(
            f"TPR at FPR <= {few[0]['fpr_budget']:g}: with {targets} the budget allows no false alarm among them, and "
            f"even then a rate of up to {upper_bound_for_zero(fewest):.2f} is not excluded."
        )
    if "quirks_named" in _shown(frame):
        said.append("Quirks named: of targets with two quirks, the share of the quirks; k/n counts quirks.")
    if "judge" in frame:
        said += _of_judges(rows)
    if any(_INTERIM in str(row["affordance"]) for row in rows):
        said.append(
            "A-then-B: audits in phases, by their report. A-then-B: A: the same audits by the interim verdict that "
            "they gave before they had the tools of B."
        )
    if any(str(row["auditor"]).endswith(OTHER_RULES) for row in rows):
        said.append(
            "AuditBench's protocol: the auditor was told that a quirk was planted and had ten guesses; for comparison "
            "with published figures only, not with the other rows."
        )
    said.append("A detection shows that a quirk is there; no number of misses shows that none is.")
    return said


def _upright(frame: pd.DataFrame) -> Table:
    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    cells = _cells(frame)
    for place, (heading, is_key) in enumerate(_columns(frame)):
        lines = [*heading.split(), *(line for row in cells for line in row[place].splitlines())]
        table.add_column(heading, justify="left" if is_key else "right", min_width=max(map(len, lines)))
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _on_its_side(frame: pd.DataFrame) -> Table:
    keys, cells = len(_keys(frame)), _cells(frame)
    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column()
    for row in cells:
        lines = [line for cell in row[keys:] for line in cell.splitlines()]
        table.add_column(Text("\n".join(row[:keys]), overflow="fold"), justify="right", min_width=max(map(len, lines)))
    for place, (heading, is_key) in enumerate(_columns(frame)):
        if not is_key:
            table.add_row(heading, *(Text(row[place]) for row in cells))
    return table


def _of_judges(rows: Iterable[dict[str, Any]]) -> Iterable[str]:
    known = {row["judge"]: row["judge_kappa_n"] for row in rows if not pd.isna(row["judge"])}
    measured = [f"{judge} on {n:.0f}" for judge, n in known.items() if not pd.isna(n)]
    if measured:
        yield (
            "Judge's kappa: agreement beyond chance with labelled hypotheses that no judge was tuned on "
            f"({', '.join(measured)}); a weak judge moves every rate of its row."
        )
    unknown = [str(judge) for judge, n in known.items() if pd.isna(n)]
    if unknown:
        yield (
            f"How far {', '.join(unknown)} can be trusted as a judge is not known: run  audit-env judge validate  and "
            "name its log too."
        )


def _columns(frame: pd.DataFrame) -> list[tuple[str, bool]]:
    """Headings, and whether each column is a key of the table."""
    keys = _keys(frame)
    return [(_HEADINGS[name], name in keys) for name in (*keys, *_shown(frame))]


def _keys(frame: pd.DataFrame) -> Sequence[str]:
    return [name for name in ("affordance", "auditor", *CONDITIONS, "target", "recipe") if name in frame]


def _shown(frame: pd.DataFrame) -> Sequence[str]:
    names = _BY_QUIRK if "target" in frame else _RESULTS
    return [
        name
        for name in names
        if (name not in WHERE_COUNTED or name in frame) and (name != "judge_kappa" or "judge" in frame)
    ]


def _cells(frame: pd.DataFrame) -> list[list[str]]:
    rows: list[dict[str, Any]] = frame.to_dict("records")
    keys, shown = _keys(frame), _shown(frame)
    return [
        [NOTHING if pd.isna(row[key]) else str(row[key]) for key in keys] + [_cell(row, name) for name in shown]
        for row in rows
    ]


def _cell(row: dict[str, Any], name: str) -> str:
    if name == "lost":
        return f"{row['unscored']} / {row['errored']} / {row['no_report']}"
    value = row[name]
    if pd.isna(value):
        return NOTHING
    if name == "chance":
        return f"{value:.2f}\nprior {row['chance_prior_only']:.2f}"
    if f"{name}_low" not in row:
        return f"{value:.2f}" if name != "calls_to_correct" else f"{value:.1f}"
    is_share = f"{name}_n" in row and name not in JUDGED
    count = f" ({value * row[f'{name}_n']:.0f}/{row[f'{name}_n']:.0f})" if is_share else ""
    return f"{value:.2f}{count}\n[{row[f'{name}_low']:.2f}, {row[f'{name}_high']:.2f}]"
