"""Starting a game for a person: an ordinary eval, set up so that the terminal is theirs, or silent for a room."""

import os
from collections.abc import Sequence
from typing import Any

from inspect_ai import Task, eval
from inspect_ai._util.config import parse_cli_args
from inspect_ai.log import EvalLog

from audit_env.agents.human import human
from audit_env.game.outcome import TRIAL
from audit_env.sessions import model
from audit_env.sessions.hosting import ROOM_VARIABLE
from audit_env.sessions.trial import terms

_DEFAULTS: dict[str, Any] = {"affordance": "black_box", "targets": 1}
"""One sitting's worth."""


def play_in_person(
    player: str,
    task: str | Task,
    given: Sequence[str] = (),
    *,
    minutes: int | None,
    log_dir: str,
    afresh: bool = False,
    scored: bool = True,
    trial: bool = False,
) -> EvalLog | None:
    """Have a person play a task, in this terminal or in the room that the environment names.

    Args:
        player: Their name.
        task: The task, such as "audit_env/hidden_objective", or one that was made.
        given: Its parameters, each as `name=value`; none for one that was made.
        minutes: How long each target may be played, over all sittings.
        log_dir: Where the log is written.
        afresh: Whether games that were left are begun anew.
        scored: Whether the truth is opened at the end. A referee does so later.
        trial: Whether it is a trial round, which has a target of its own and counts nowhere.

    Returns:
        The log; None if the game was left.
    """
    if trial:
        given = terms(given)
    logs = eval(
        task,
        model=f"{model.PROVIDER}/{player}",
        model_args={"minutes": minutes, "afresh": afresh},
        task_args={} if isinstance(task, Task) else _DEFAULTS | parse_cli_args(list(given)),
        solver=human(),
        max_samples=1,
        score=scored,
        display="none" if os.environ.get(ROOM_VARIABLE) else "plain",
        # Metrics while targets are still to come would tell which of the earlier ones had a quirk.
        score_display=False,
        tags=[TRIAL] if trial else None,
        log_dir=log_dir,
    )
    return logs[0] if logs else None
