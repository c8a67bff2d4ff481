"""The plots: Altair charts that can be read in greyscale, with intervals and counts in them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from audit_env.analysis.answers import Answer
from audit_env.errors import MissingExtraError

WIDTH = 220
"""Pixels: with the labels beside it, a plot is as wide as a phone."""
LEGEND = 340
"""Pixels of a line of a legend, which has no labels beside it."""
STEP = 22
"""Pixels a row."""
HAIR = 0.012
"""Share of a plot's width between the bars of two groups at one place."""
BARS = 12
"""Intervals along a line, so that they can be told apart."""
# Shades that keep apart in greyscale; one fewer than shapes and dashes, so that the first 30 groups all look different.
_SHADES = ("#000000", "#0b4f9e", "#b35c00", "#5fa55f", "#b0b0b0")
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
_DASHES = ([1, 0], [6, 3], [2, 2], [8, 2, 2, 2], [12, 3], [1, 4])


def altair() -> Any:
    """The plotting library.

    Returns:
        The module.

    Raises:
        MissingExtraError: If it is not installed.
    """
    try:
        import altair as alt
        import vl_convert  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(error.name or "altair", "report", "A plot") from error
    return alt


def ranges(table: pd.DataFrame, figure: str, row: str, group: str, title: str, domain: tuple[float, float]) -> Any:
    """Figures with their intervals and counts, one below the other.

    Args:
        table: Holds the figure, its interval and its count.
        figure: The column of the figure.
        row: The column that names the rows.
        group: The column that tells points in one row apart, by shape and shade.
        title: Of the axis.
        domain: Ends of the axis.

    Returns:
        The chart.
    """
    alt = altair()
    known = table[table[figure].notna()].copy()
    known["says"] = _counts(known[f"{figure}_n"])
    names = sorted(known[group].astype(str).unique())
    x = alt.X(f"{figure}:Q", title=title, scale=alt.Scale(domain=list(domain), clamp=True))
    chart = alt.Chart(_data(alt, known))
    rows = list(dict.fromkeys(known[row].astype(str)))
    y = alt.Y(f"{row}:N", title=None, axis=alt.Axis(labelLimit=120), sort=rows)
    offset = alt.YOffset(f"{group}:N", sort=names)
    lines = chart.mark_rule(strokeWidth=1.5).encode(
        x=alt.X(f"{figure}_low:Q", title=title, scale=alt.Scale(domain=list(domain), clamp=True)),
        x2=f"{figure}_high:Q",
        y=y,
        yOffset=offset,
        color=_shade(alt, group, names),
    )
    points = chart.mark_point(filled=True, size=60, opacity=1).encode(
        x=x,
        y=y,
        yOffset=offset,
        shape=_shape(alt, group, names),
        color=_shade(alt, group, names),
        tooltip=_tooltip(alt, known),
    )
    counts = chart.mark_text(align="left", dx=6, dy=-6, fontSize=9).encode(x=x, y=y, yOffset=offset, text="says:N")
    height = STEP * max(len(names), 1) * max(known[row].nunique(), 1)
    return (lines + points + counts).properties(width=WIDTH, height=height)


def heat(table: pd.DataFrame, figure: str, row: str, column: str, facet: str, title: str) -> Any:
    """A heat map with the figure, its count and its interval written in each cell.

    Args:
        table: Holds the figure, its interval and its count.
        figure: A share in [0, 1].
        row: The column that names the rows.
        column: The column that names the columns.
        facet: The column that divides it into maps.
        title: Of the scale.

    Returns:
        The chart.
    """
    alt = altair()
    known = table[table[figure].notna()].copy()
    known["says"] = [f"{value:.2f} n={n:.0f}" for value, n in zip(known[figure], known[f"{figure}_n"], strict=True)]
    ends = zip(known[f"{figure}_low"], known[f"{figure}_high"], strict=True)
    known["between"] = [f"[{low:.2f}, {high:.2f}]" for low, high in ends]
    base = alt.Chart(_data(alt, known)).encode(
        x=alt.X(f"{column}:N", title=None, axis=alt.Axis(labelAngle=-40, labelLimit=130)),
        y=alt.Y(f"{row}:N", title=None, axis=alt.Axis(labelLimit=130)),
    )
    cells = base.mark_rect().encode(
        color=alt.Color(f"{figure}:Q", title=title, scale=alt.Scale(domain=[0, 1], scheme="greys"), legend=None),
        tooltip=_tooltip(alt, known),
    )
    shade = alt.condition(f"datum['{figure}'] > 0.5", alt.value("white"), alt.value("black"))
    says = base.mark_text(fontSize=8, dy=-5).encode(text="says:N", color=shade)
    between = base.mark_text(fontSize=8, dy=5).encode(text="between:N", color=shade)
    wide = max(56 * known[column].nunique(), 80)
    one = (cells + says + between).properties(width=wide, height=(STEP + 6) * max(known[row].nunique(), 1))
    facets = list(dict.fromkeys(known[facet].astype(str)))
    return one.facet(facet=alt.Facet(f"{facet}:N", title=None, sort=facets), columns=1)


def lines(
    table: pd.DataFrame,
    x: str,
    y: str,
    group: str,
    titles: tuple[str, str],
    *,
    diagonal: bool = False,
    steps: bool = False,
) -> Any:
    """Lines that tell themselves apart by dash and shade, with intervals as bars.

    Args:
        table: The points, in order, with their intervals; and their counts, unless the names of the lines hold them.
        x: The column across.
        y: The column up, a share in [0, 1].
        group: The column that names the lines.
        titles: Of the two axes.
        diagonal: Whether to draw the line x = y.
        steps: Whether a line keeps its height until the next point.

    Returns:
        The chart.
    """
    alt = altair()
    names = sorted(table[group].astype(str).unique())
    chart = alt.Chart(_data(alt, table))
    up = alt.Y(f"{y}:Q", title=titles[1], scale=alt.Scale(domain=[0, 1]))
    across = alt.X(f"{x}:Q", title=titles[0], **({"scale": alt.Scale(domain=[0, 1])} if diagonal else {}))
    shade, shape = _shade(alt, group, names), _shape(alt, group, names)
    dash = alt.StrokeDash(
        f"{group}:N", scale=alt.Scale(domain=names, range=_cycled(_DASHES, names)), legend=_legend(alt)
    )
    layers = chart.mark_line(interpolate="step-after" if steps else "linear").encode(
        x=across, y=up, color=shade, strokeDash=dash, order=alt.Order("place:Q")
    ) + chart.mark_point(filled=True, size=36).encode(
        x=across, y=up, color=shade, shape=shape, tooltip=_tooltip(alt, table)
    )
    beside = across.copy(deep=True)
    beside.shorthand = "beside:Q"
    layers += _bars(alt, _beside(_thinned(table, group), x, group), y).encode(x=beside, color=shade)
    if f"{y}_n" in table:
        counted = alt.Chart(_data(alt, table.assign(says=_counts(table[f"{y}_n"]))))
        layers += counted.mark_text(align="left", dx=5, dy=-5, fontSize=9).encode(x=across, y=up, text="says:N")
    if diagonal:
        ends = alt.Chart(alt.Data(values=[{"a": 0, "b": 0}, {"a": 1, "b": 1}]))
        layers += ends.mark_line(strokeDash=[2, 4], color="#999999").encode(x="a:Q", y="b:Q")
    return layers.properties(width=WIDTH, height=WIDTH)


def dots(table: pd.DataFrame, x: str, y: str, group: str, titles: tuple[str, str]) -> Any:
    """Points that tell themselves apart by shape and shade, with intervals as bars.

    Args:
        table: The points, with their intervals; the names of the groups hold the counts.
        x: The column across.
        y: The column up, a share in [0, 1].
        group: The column that names what points belong to.
        titles: Of the two axes.

    Returns:
        The chart.
    """
    alt = altair()
    names = sorted(table[group].astype(str).unique())
    points = alt.Chart(_data(alt, table)).mark_point(size=60, opacity=0.8)
    drawn = points.encode(
        x=alt.X(f"{x}:Q", title=titles[0]),
        y=alt.Y(f"{y}:Q", title=titles[1], scale=alt.Scale(domain=[0, 1])),
        color=_shade(alt, group, names),
        shape=_shape(alt, group, names),
        tooltip=_tooltip(alt, table),
    ) + _bars(alt, _beside(table, x, group), y).encode(
        x=alt.X("beside:Q", title=titles[0]), color=_shade(alt, group, names)
    )
    return drawn.properties(width=WIDTH, height=WIDTH)


def _bars(alt: Any, table: pd.DataFrame, y: str) -> Any:
    """Intervals as upright bars."""
    ends = alt.Y(f"{y}_low:Q", scale=alt.Scale(domain=[0, 1])), f"{y}_high:Q"
    return alt.Chart(_data(alt, table)).mark_rule(opacity=0.6).encode(y=ends[0], y2=ends[1])


def _beside(table: pd.DataFrame, x: str, group: str) -> pd.DataFrame:
    """A column `beside` that moves each group's bars a hair from `x`, so that those at one place can be told apart."""
    order = {name: place for place, name in enumerate(sorted(table[group].astype(str).unique()))}
    places = table[group].astype(str).map(order).astype(float)
    across = table[x].astype(float)
    first, reach = across.min(), across.max() - across.min()
    moved = HAIR * (len(order) - 1)
    return table.assign(beside=first + (across - first) * (1 - moved) + places * HAIR * reach)


def _thinned(table: pd.DataFrame, group: str) -> pd.DataFrame:
    """Of each line so many points that their intervals can be told apart, the last one among them."""
    parts = []
    for _, part in table.groupby(group, sort=False):
        every = -(-len(part) // BARS)
        parts.append(part.iloc[::-1].iloc[::every].iloc[::-1])
    return pd.concat(parts)


def _counts(numbers: pd.Series) -> list[str]:
    return ["n=?" if pd.isna(n) else f"n={n:.0f}" for n in numbers]


def _data(alt: Any, table: pd.DataFrame) -> Any:
    plain = table.astype(object).where(table.notna(), None)
    return alt.Data(values=[{"place": place, **row} for place, row in enumerate(plain.to_dict("records"))])


def _tooltip(alt: Any, table: pd.DataFrame) -> list[Any]:
    kinds = {name: "Q" if pd.api.types.is_numeric_dtype(table[name]) else "N" for name in table.columns}
    return [
        alt.Tooltip(f"{name}:{kind}", **({"format": ".3~g"} if kind == "Q" else {})) for name, kind in kinds.items()
    ]


def _shade(alt: Any, group: str, names: list[str]) -> Any:
    scale = alt.Scale(domain=names, range=_cycled(_SHADES, names))
    return alt.Color(f"{group}:N", scale=scale, legend=_legend(alt))


def _shape(alt: Any, group: str, names: list[str]) -> Any:
    scale = alt.Scale(domain=names, range=_cycled(_SHAPES, names))
    return alt.Shape(f"{group}:N", scale=scale, legend=_legend(alt))


def _legend(alt: Any) -> Any:
    return alt.Legend(title=None, orient="bottom", columns=1, labelLimit=LEGEND)


def _cycled(values: tuple[Any, ...], names: list[str]) -> list[Any]:
    return [values[place % len(values)] for place in range(len(names))]


def save(answers: Iterable[Answer], folder: Path) -> list[Path]:
    """Write plots for a paper.

    Args:
        answers: What they are plots of.
        folder: Made where it does not exist.

    Returns:
        An SVG and a PNG for each answer with a plot, named after its question.

    Raises:
        MissingExtraError: If the plotting libraries are not installed.
    """
    altair()
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for answer in answers:
        if answer.plot:
            chart = answer.plot()
            for ending in ("svg", "png"):
                written.append(folder / f"{answer.key}.{ending}")
                chart.save(str(written[-1]), ppi=200)
    return written
