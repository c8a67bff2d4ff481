"""The report as one HTML file that needs nothing else: for an appendix, or to be read offline."""

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from audit_env.naturalness.report import GROUPS, difference, passed, published, said, sections
from audit_env.naturalness.sheet import BANNER, NEVER_MEASURED, Naturalness

TEMPLATE = "report.html.jinja"


def html(sheets: Sequence[Naturalness]) -> str:
    """Reports as one page.

    Args:
        sheets: Of organisms, in the order of the page. No order among them is meant.

    Returns:
        HTML with its style inside. Whatever models said is escaped.
    """
    environment = Environment(
        loader=PackageLoader("audit_env.naturalness", "data"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(difference=difference, passed=passed, published=published, said=said, sections=sections)
    return environment.get_template(TEMPLATE).render(sheets=sheets, groups=GROUPS, banner=BANNER, never=NEVER_MEASURED)
