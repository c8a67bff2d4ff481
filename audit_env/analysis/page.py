"""A report as one HTML file that needs no network: tables, and plots that answer to the mouse."""

import json
from functools import cache
from importlib.resources import files

import jinja2

from audit_env.analysis import plots
from audit_env.analysis.answers import figures
from audit_env.analysis.printing import cells
from audit_env.analysis.report import Report

_FACES = "window.vegaEmbed = vegaEmbed;"
"""What of the plotting scripts the page calls."""


def html(report: Report) -> str:
    """Make the page.

    Args:
        report: The report.

    Returns:
        HTML with all scripts inside.

    Raises:
        MissingExtraError: If the plotting libraries are not installed.
    """
    plots.altair()
    template = files("audit_env.analysis").joinpath("report.html.jinja").read_text(encoding="utf-8")
    made = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(template)
    return made.render(
        report=report,
        sections=[
            {
                "answer": answer,
                "names": figures(answer.table),
                "rows": cells(answer) if not answer.nothing else [],
                "spec": _inside_a_script(answer.plot().to_dict(validate=False)) if answer.plot else None,
            }
            for answer in report.answers
        ],
        script=_script(),
    )


@cache
def _script() -> str:
    """The plotting scripts; to bundle them takes seconds."""
    import vl_convert

    script: str = vl_convert.javascript_bundle(_FACES)
    return script


def _inside_a_script(spec: dict[str, object]) -> str:
    """JSON that no text in it can break out of."""
    return json.dumps(spec).replace("<", "\\u003c")
