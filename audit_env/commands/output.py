"""How commands speak: tables of at most 100 columns, complaints on standard error, JSON that programs can rely on."""

import json
from collections.abc import Iterable
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

WIDTH = 100
"""Columns where there is no terminal to ask."""


def console() -> Console:
    """Where tables go: the terminal as wide as it is, or 100 columns into a file or a pipe."""
    there = Console()
    return there if there.is_terminal else Console(width=WIDTH)


def table(*headings: str) -> Table:
    """An empty table in the style of all our tables: the first column names the row, the others hold figures."""
    # Two blanks between columns and none at the edges, so that the longest ids fit beside five columns of figures.
    empty = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for place, heading in enumerate(headings):
        empty.add_column(heading, justify="left" if place == 0 else "right", overflow="fold")
    return empty


def section(where: Console, *parts: RenderableType) -> None:
    """Print what belongs together, with a blank line before it."""
    where.print()
    for part in parts:
        where.print(part)


def complain(sentences: Iterable[str]) -> bool:
    """Print complaints in red on standard error, one a line.

    Args:
        sentences: What is wrong.

    Returns:
        Whether there was any.
    """
    errors = Console(stderr=True)
    said = False
    for sentence in sentences:
        errors.print(Text(sentence, style="red"), soft_wrap=True)
        said = True
    return said


def print_json(data: Any) -> None:
    """Print JSON for programs: keys in a fixed order, no colours, no line breaks of the terminal's."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))
