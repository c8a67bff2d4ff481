"""A report in the terminal, as Markdown, as CSV and as JSON."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.measure import Measurement
from rich.text import Text

from audit_env.analysis.answers import Answer, cell, figures
from audit_env.analysis.report import Report
from audit_env.commands.output import table


def show(report: Report, console: Console) -> None:
    """Print a report.

    Args:
        report: The report.
        console: Where to print.
    """
    for answer in report.answers:
        console.print()
        console.print(Text(answer.title, style="bold"))
        if answer.nothing:
            console.print(Text(f"Not answered: {answer.nothing}.", style="dim"))
            continue
        _print_table(answer, console)
        for note in answer.notes:
            console.print(Text(note, style="dim"))
    console.print()
    for line in report.lines:
        console.print(Text(line), soft_wrap=True)


def _print_table(answer: Answer, console: Console) -> None:
    """Intervals stand below their figures; where the terminal is too narrow, lines run on."""
    drawn = table()
    rows = [[value.replace(" [", "\n[", 1) for value in row] for row in cells(answer)]
    for place, name in enumerate(figures(answer.table)):
        is_text = not pd.api.types.is_numeric_dtype(answer.table[name])
        widest = max(len(line) for row in rows for line in row[place].splitlines())
        # Long headings break at their underscores, which nothing else does.
        heading = "\n".join(name.split("_"))
        drawn.add_column(heading, justify="left" if is_text else "right", min_width=widest)
    for row in rows:
        drawn.add_row(*(Text(value) for value in row))
    least = Measurement.get(console, console.options.update(max_width=10_000), drawn).minimum
    console.print(drawn, width=max(least, console.width), crop=False)


def markdown(report: Report) -> str:
    """A report as Markdown.

    Args:
        report: The report.

    Returns:
        A section for each question, and a list of what the figures rest on.
    """
    parts = [section(answer) for answer in report.answers]
    return "\n\n".join([*parts, "## What this rests on", "\n".join(f"- {line}" for line in report.lines)]) + "\n"


def section(answer: Answer) -> str:
    """One answer as Markdown.

    Args:
        answer: The answer.

    Returns:
        Its title, table and notes.
    """
    if answer.nothing:
        return f"## {answer.title}\n\nNot answered: {answer.nothing}."
    names = figures(answer.table)
    numeric = [pd.api.types.is_numeric_dtype(answer.table[name]) for name in names]
    lines = [names, ["--:" if number else "---" for number in numeric]]
    lines += [[value.replace("|", "\\|") for value in row] for row in cells(answer)]
    drawn = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([f"## {answer.title}", drawn, *answer.notes])


def cells(answer: Answer) -> list[list[str]]:
    """A table as people read it.

    Args:
        answer: The answer.

    Returns:
        Its rows, a text for each of `figures`.
    """
    names = figures(answer.table)
    return [[cell(row, name) for name in names] for row in answer.table.to_dict("records")]


def as_json(report: Report) -> str:
    """A report for programs, every figure at full precision.

    Args:
        report: The report.

    Returns:
        {"logs", "audits", "not_run", "empty", "skipped": [{"log", "why"}], "remarks", "answers": [{"key", "title",
        "nothing", "notes", "rows"}]}.
    """
    data = {
        "logs": report.logs,
        "audits": report.audits,
        "not_run": report.not_run,
        "empty": report.empty,
        "skipped": [{"log": one.log, "why": one.why} for one in report.skipped],
        "remarks": list(report.remarks),
        "answers": [
            {
                "key": answer.key,
                "title": answer.title,
                "nothing": answer.nothing,
                "notes": list(answer.notes),
                "rows": [{k: _plain(v) for k, v in row.items()} for row in answer.table.to_dict("records")],
            }
            for answer in report.answers
        ],
    }
    return json.dumps(data, indent=2, ensure_ascii=False)


def write_csv(report: Report, folder: Path) -> list[Path]:
    """Write the table of every question that has an answer.

    Args:
        report: The report.
        folder: Made where it does not exist.

    Returns:
        The files, named after the questions.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for answer in report.answers:
        if not answer.nothing:
            written.append(folder / f"{answer.key}.csv")
            answer.table.to_csv(written[-1], index=False)
    return written


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and math.isnan(value) else value
