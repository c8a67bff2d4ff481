"""Starting a game for a person: an ordinary eval, set up so that the terminal is theirs."""

from collections.abc import Sequence
from typing import Any

from inspect_ai import eval
from inspect_ai._util.config import parse_cli_args

from audit_env.agents.human import human
from audit_env.sessions import model

_DEFAULTS: dict[str, Any] = {"affordance": "black_box", "targets": 1}
"""One sitting's worth."""


def play_in_person(
    player: str, task: str, given: Sequence[str], *, minutes: int | None, afresh: bool, log_dir: str
) -> None:
    """Have a person play a task in this terminal.

    Args:
        player: Their name.
        task: The task, such as "audit_env/hidden_objective".
        given: Its parameters, each as `name=value`.
        minutes: How long each target may be played, over all sittings.
        afresh: Whether games that were left are begun anew.
        log_dir: Where the log is written.
    """
    eval(
        task,
        model=f"{model.PROVIDER}/{player}",
        model_args={"minutes": minutes, "afresh": afresh},
        task_args=_DEFAULTS | parse_cli_args(list(given)),
        solver=human(),
        max_samples=1,
        display="plain",
        # Metrics while targets are still to come would tell which of the earlier ones had a quirk.
        score_display=False,
        log_dir=log_dir,
    )
