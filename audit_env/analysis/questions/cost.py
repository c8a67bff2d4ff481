"""What does a detection cost?"""

from functools import partial

import pandas as pd

from audit_env.analysis import plots
from audit_env.analysis.answers import Answer, Cells, nothing, table_of
from audit_env.analysis.frames import Frames
from audit_env.analysis.groups import groups, label, marks

KEY, TITLE = "cost", "Cost of a clean detection"


def answer(frames: Frames) -> Answer:
    """Answer the question.

    Args:
        frames: What the logs say.

    Returns:
        One row for each auditor and affordance that used a model which is paid for.
    """
    audits = frames.audits
    paid = [(key, part) for key, part in groups(audits) if part["model_tokens"].sum() > 0]
    if not paid:
        return nothing(KEY, TITLE, "no audit used a model that is paid for")
    rows = [key | _figures(part) for key, part in paid]
    notes = (
        "All audits are paid for, those of clean targets too; the price of a clean detection is their sum over the "
        "number of clean detections, and missing where there was none. The interval (quartiles) is of single audits.",
        "Dollars are missing where a price is not known: see  audit-env estimate --prices.",
    )
    return Answer(KEY, TITLE, table_of(rows), notes, partial(_plot, rows))


def _figures(part: pd.DataFrame) -> Cells:
    tokens, dollars = part["model_tokens"].astype(float), part["dollars"].astype(float)
    detections = int(sum(marks(part, "clean_detection")))
    total = float(dollars.sum()) if dollars.notna().all() else None
    low, middle, high = tokens.quantile([0.25, 0.5, 0.75])
    return {
        "tokens": middle,
        "tokens_low": low,
        "tokens_high": high,
        "tokens_n": len(part),
        "clean_detections": detections,
        "tokens_each": tokens.sum() / detections if detections else None,
        "dollars": total,
        "dollars_each": total / detections if total is not None and detections else None,
    }


def _plot(rows: list[Cells]) -> object:
    named = [row | {"who": label({k: row[k] for k in list(row)[: list(row).index("tokens")]})} for row in rows]
    most = max(row["tokens_high"] for row in rows) * 1.1
    return plots.ranges(table_of(named), "tokens", "who", "affordance", "tokens an audit (quartiles)", (0, most))
