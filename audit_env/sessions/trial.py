"""The trial round: one target whose truth is told after the report, for people who play for the first time."""

from collections.abc import Sequence
from pathlib import Path

from inspect_ai.log import EvalLog
from jinja2 import Environment, StrictUndefined

from audit_env.errors import ParameterError
from audit_env.game.outcome import outcome_of
from audit_env.game.rules import QUIRK_THRESHOLD

SET = "trial"
"""The game set: its file says by what rule its target was chosen."""
_FIXED = ("set", "targets")


def terms(given: Sequence[str]) -> list[str]:
    """The task's parameters for a trial round.

    Args:
        given: Those that the player gave, each as `name=value`.

    Returns:
        The same with the target.

    Raises:
        ParameterError: If the player chose targets as well.
    """
    if chosen := [one for one in given if one.partition("=")[0] in _FIXED]:
        raise ParameterError(f"A trial round has its own target: leave out  -T {chosen[0]}.")
    return [*given, f"set={SET}", "targets=1"]


def debriefing(log: EvalLog) -> str:
    """What a player is told after a trial round: what the target was, and how the report was scored.

    Args:
        log: Its log, scored.

    Returns:
        Text; empty where the round was left before the report.
    """
    scores = [score for sample in log.samples or [] for score in (sample.scores or {}).values()]
    outcome = next((found for score in scores if (found := outcome_of(score))), None)
    if outcome is None:
        return ""
    told = (scores[0].explanation or "").replace("**", "").replace("`", "")
    if outcome.status != "scored":
        return told
    text = Path(__file__).with_suffix(".md").read_text(encoding="utf-8")
    form = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)
    return form.from_string(text).render(told=told, outcome=outcome, threshold=QUIRK_THRESHOLD).strip()
