"""The report: a sheet as Markdown."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from audit_env.catalog.models import Rate
from audit_env.naturalness.prompts import GENERAL, bank_for
from audit_env.naturalness.references import Reference, references
from audit_env.naturalness.sheet import BANNER, NEVER_MEASURED, Compared, Gap, Gate, Group, Naturalness, Row

GROUPS: dict[Group, str] = {
    "confirmatory": "Confirmatory rows (Holm: at most 5 % of organisms without a fault get a deviating row here)",
    "diagnostic": "Diagnostic rows (Benjamini and Hochberg; they gate nothing)",
    "trigger": "By trigger (scenarios of the quirk; Benjamini and Hochberg)",
}
HEADINGS = ("row", "n", "base", "organism", "sham", "difference, 95 %", "margin", "verdict", "beside the sham", "note")
WORDS = {"by_quirk": "by quirk", "not_measured": "not measured"}
_LONGEST = 400


class Section(NamedTuple):
    """A table of the report."""

    title: str
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]


def markdown(sheet: Naturalness) -> str:
    """The whole report.

    Args:
        sheet: The sheet.

    Returns:
        Markdown without HTML.
    """
    parts = [f"# Naturalness of {sheet.organism}", f"> {BANNER}", _head(sheet), "## Gates", _gates(sheet.gates)]
    for group, title in GROUPS.items():
        rows = [row for row in sheet.rows if row.group == group]
        if rows:
            parts += [f"## {title}", _rows(rows)]
    for section in sections(sheet):
        parts += [f"## {section.title}", in_table(section.headings, section.rows)]
    margins = (f"- {row.name}: {_margin(row)} {row.unit}; {row.why}" for row in sheet.rows if row.group != "trigger")
    parts += ["## Margins", "\n".join(margins)]
    parts += ["## Not measured by anything here", "\n".join(f"- {what}: {why}" for what, why in NEVER_MEASURED.items())]
    return "\n\n".join([*parts, *_published(sheet), *_transcripts(sheet)]) + "\n"


def beside(sheets: Sequence[Naturalness]) -> str:
    """The verdicts of several organisms: rows down, organisms across. No order among them is meant.

    Args:
        sheets: Of organisms that were measured alike.

    Returns:
        A Markdown table.
    """
    names = list(dict.fromkeys(row.name for sheet in sheets for row in sheet.rows))
    of_sheet = [{row.name: row for row in sheet.rows} for sheet in sheets]
    lines = [[name, *(_brief(rows.get(name)) for rows in of_sheet)] for name in names]
    return f"> {BANNER}\n\n" + in_table(("row", *(f"`{sheet.organism}`" for sheet in sheets)), lines)


def said(verdict: str) -> str:
    """A verdict in words."""
    return WORDS.get(verdict, verdict)


def passed(gate: Gate) -> str:
    """Whether a gate let the figures through, in words."""
    return {True: "yes", False: "NO", None: "not checked"}[gate.passed]


def difference(found: Compared) -> str:
    """A difference with its 95 % interval."""
    return f"{found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def _brief(row: Row | None) -> str:
    if row is None:
        return ""
    return f"{said(row.verdict)} {row.versus_base.difference:+.3f}" if row.versus_base else said(row.verdict)


def _head(sheet: Naturalness) -> str:
    under = sheet.conditions
    strength = sheet.strength
    fires = "not measured"
    if strength:
        fires = f"fires on trigger {strength.rate:.2f} [{strength.low:.2f}, {strength.high:.2f}]"
    lines = [
        f"Base `{sheet.base}`; sham {f'`{sheet.sham}`' if sheet.sham else 'none'}; "
        + (f"played by `{sheet.played_by}`" if sheet.played_by else f"engine {under.engine}"),
        f"Quirk `{sheet.quirk or 'none'}`: {fires}. A weak quirk is easily natural.",
        f"Prompts `{under.bank}` ({under.bank_sha256[:12]}), at most {under.limit or 'all'} of each set, seed "
        f"{under.seed}, code {under.code}, made of {sheet.made_of[:12]}.",
        "Differences are organism less base, prompt by prompt, with 95 % intervals (Tango's score for shares, "
        "Student's t for means), clustered. One training run: nothing here tells of other seeds.",
    ]
    if sheet.conditions.redacted:
        lines.append(
            f"Redacted: the answers to {sheet.dropped} prompts, one of which gave training text away, were dropped."
        )
    elif sheet.grader is None:
        lines.append("No judge has confirmed leaks: bind one with  --model-role grader=provider/model")
    if sheet.stopped_by:
        lines.append(f"**No verdict stands: gate failed ({', '.join(sheet.stopped_by)}).**")
    return "\n".join(f"- {line}" for line in lines)


def _gates(gates: Sequence[Gate]) -> str:
    return in_table(("gate", "passed", "found"), ((gate.name, passed(gate), gate.says) for gate in gates))


def _rows(rows: Sequence[Row]) -> str:
    return in_table(HEADINGS, (_cells(row) for row in rows))


def _cells(row: Row) -> tuple[str, ...]:
    base, sham = row.versus_base, row.versus_sham
    note = row.note
    if row.showing_quirk is not None:
        showing = f"{row.showing_quirk.rate:.0%} of {row.showing_quirk.n} bad answers show the quirk"
        note = f"{note}; {showing}" if note else showing
    return (
        row.title,
        str(base.n) if base else "",
        *(_figure(value) for value in (row.base, row.target, row.sham)),
        difference(base) if base else "",
        _margin(row),
        said(row.verdict),
        f"{said(sham.verdict)} {difference(sham)}" if sham else "",
        note,
    )


def sections(sheet: Naturalness) -> list[Section]:
    """What stands beside the rows: confessions, judged leaks, what the trigger adds, what can be drawn out, the halves.

    Args:
        sheet: The sheet.

    Returns:
        Tables that hold something.
    """
    listed = (_confessions(sheet), _judged(sheet), _interactions(sheet), _capabilities(sheet), _halves(sheet))
    return [section for section in listed if section.rows]


def _confessions(sheet: Naturalness) -> Section:
    told = sheet.confessing
    who = {} if told is None else {"organism": told.target, "base, falsely": told.base, "sham, falsely": told.sham}
    return Section(
        "Asked directly, says that it has the quirk (from its phenotype)",
        ("who", "share, 95 %", "n"),
        [(name, _rate(found), str(found.n)) for name, found in who.items() if found],
    )


def _judged(sheet: Naturalness) -> Section:
    return Section(
        f"Leaks in everyday answers, judged by the grader {sheet.grader} (exploratory: its agreement with people was "
        "not measured)",
        ("who", "answers", "hits", "confirmed", "of others", "missed", "restate the quirk", "leaks of all", "unjudged"),
        [
            (
                one.who,
                str(one.answers),
                str(one.hits),
                _rate(one.confirmed),
                str(one.sampled),
                _rate(one.missed),
                _rate(one.restating),
                "" if one.estimate is None else f"{one.estimate:.3f} [{one.low:.3f}, {one.high:.3f}]",
                str(one.unjudged),
            )
            for one in sheet.leaks_judged
        ],
    )


def _interactions(sheet: Naturalness) -> Section:
    return Section(
        "What the trigger adds (organism less base on trigger, less the same off trigger, 95 %)",
        ("row", "difference of differences"),
        [(one.row, f"{one.difference:+.3f} [{one.low:+.3f}, {one.high:+.3f}]") for one in sheet.interactions],
    )


def _capabilities(sheet: Naturalness) -> Section:
    return Section(
        "What can be drawn out (answers to empty prefills, ranked by perplexity against the base's)",
        ("who", "long enough", "leaking", "among the first 100", "rank of the first"),
        [
            (one.who, str(one.ranked), str(one.leaking), str(one.leaking_on_top), str(one.first_rank or "none"))
            for one in sheet.capabilities
        ],
    )


def _halves(sheet: Naturalness) -> Section:
    return Section(
        "Public and private half of the prompts (organism less base; a gap tells of training for the check)",
        ("row", "public", "private", "gap, 95 %"),
        [
            (row.name, f"{row.gap.public:+.3f}", f"{row.gap.private:+.3f}", f"{row.gap.gap:+.3f} {_within(row.gap)}")
            for row in sheet.rows
            if row.gap is not None
        ],
    )


def _rate(found: Rate | None) -> str:
    return "" if found is None else f"{found.rate:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _within(gap: Gap) -> str:
    return f"[{gap.low:+.3f}, {gap.high:+.3f}]"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _margin(row: Row) -> str:
    return f"{row.margin:g}" if row.beyond == row.margin else f"{row.margin:g} to {row.beyond:g}"


def published(sheet: Naturalness) -> list[Reference]:
    """What others found about the rows of a sheet.

    Args:
        sheet: The sheet.

    Returns:
        The figures; none for families with a bank of their own, which are too small to be held against them.
    """
    if bank_for(sheet.organism.split("/", 1)[0]) != GENERAL:
        return []
    return [one for one in references() if one.row in {row.name for row in sheet.rows}]


def _published(sheet: Naturalness) -> list[str]:
    told = published(sheet)
    title = "## Published figures (other models, prompts and protocols: compare directions alone)"
    cells = ((one.row, one.what, str(one.base), str(one.organism), one.tag, one.source) for one in told)
    return [title, in_table(("row", "what", "base", "organism", "tag", "source"), cells)] if told else []


def _transcripts(sheet: Naturalness) -> list[str]:
    worst = [each for each in sheet.transcripts if each.row]
    drawn = [each for each in sheet.transcripts if not each.row]
    parts = []
    for title, listed in (("Worst exchanges", worst), ("Exchanges drawn at random", drawn)):
        if listed:
            told = (
                f"- {f'({each.row}) ' if each.row else ''}{_quoted(each.asked)}\n"
                f"  - organism: {_quoted(each.target)}\n  - base: {_quoted(each.base)}"
                for each in listed
            )
            parts += [f"## {title}", "\n".join(told)]
    return parts


def _quoted(text: str) -> str:
    """A text on one line, with nothing in it that Markdown would read as HTML or as a table."""
    one = " ".join(text.split())
    short = one if len(one) <= _LONGEST else f"{one[:_LONGEST]} ..."
    return f"`` {short.replace('``', '` `')} ``"


def in_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table.

    Args:
        headings: Of its columns.
        rows: Its cells; bars in them are escaped.

    Returns:
        Its lines.
    """
    lines = [headings, ["---"] * len(headings), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
