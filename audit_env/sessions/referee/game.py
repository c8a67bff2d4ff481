"""The game of one team: the task that everybody plays, on the team's own draw, with the truth left closed.

The log says nothing that the truth could be found by: no seed, no set file, no score. What the scorer will need is kept
in the session's file before the first turn.
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from inspect_ai import Task
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.log._samples import sample_active
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util import Store, store_as

from audit_env.catalog.models import GameSet
from audit_env.errors import ParameterError
from audit_env.game import gates
from audit_env.game.record import AuditRecord
from audit_env.game.truth import envelope_of, open_truth
from audit_env.sessions.errors import SessionError
from audit_env.sessions.referee.ledger import Ledger
from audit_env.sessions.referee.payloads import truth_payload
from audit_env.sessions.referee.state import Begun, Draw, Sealed, Terms, changing, opening_of


def set_of(drawn: Draw) -> GameSet:
    """The targets of a session as a game set.

    Args:
        drawn: What was drawn.

    Returns:
        The set, under the name of the one that it was drawn from.
    """
    return GameSet(
        name=drawn.set,
        description="Of a session.",
        targets=drawn.targets,
        reference_sham=drawn.reference_sham,
        organisms=drawn.organisms,
    )


def game_of(drawn: Draw, team: str, *, affordances: Sequence[str], answers: str, base_rate: str) -> Task:
    """The ordinary task on a team's targets, in the team's order.

    Args:
        drawn: What was drawn.
        team: The team.
        affordances: The levels of access.
        answers: "menu" or "open".
        base_rate: "withheld" or "stated".

    Returns:
        The task `hidden_objective`.

    Raises:
        ParameterError: If a term is not valid.
    """
    # With the auditors behind it.
    from audit_env.tasks.hidden_objective import hidden_objective

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "set.yaml"
        path.write_text(yaml.safe_dump(set_of(drawn).model_dump(mode="json")), encoding="utf-8")
        try:
            made: Task = hidden_objective(
                set=str(path),
                affordance=list(affordances),
                answers=answers,
                base_rate=base_rate,
                seed=drawn.teams[team].seed,
            )
        except PrerequisiteError as error:
            raise ParameterError(str(error.message)) from error
    return made


def audit_of(ledger: Ledger, terms: Terms, sealed: Sealed, team: str, sample: str, player: str) -> Task:
    """One audit of a team.

    Args:
        ledger: The file of the session.
        terms: Its terms.
        sealed: Its truth.
        team: The team.
        sample: Which audit, by its id.
        player: Who plays it.

    Returns:
        A task with this one sample.

    Raises:
        SessionError: If a target is no longer what it was when the session was opened, or the order.
    """
    game = game_of(sealed.drawn, team, affordances=terms.affordances, answers=terms.answers, base_rate=terms.base_rate)
    for alias, _ in sealed.drawn.teams[team].order:
        if truth_payload(envelope_of(alias)) != sealed.truth_of(team, alias):
            raise SessionError("Organisms or quirks changed since this session was opened: set them back to play it.")
    return Task(
        dataset=game.dataset.filter(lambda one: one.id == sample),
        setup=_refereed(ledger, team, player, game.setup),
        solver=game.solver,
        scorer=game.scorer,
        viewer=game.viewer,
        name=game.name,
        version=game.version,
        score_on_error=True,
        fail_on_error=False,
        metadata={"protocol": terms.protocol, "set": terms.set, "session": terms.session, "team": team},
    )


def _refereed(ledger: Ledger, team: str, player: str, provision: Any) -> Solver:
    """The game's own set-up, and the seal that it made brought to the referee. A log names it without arguments."""

    @solver
    def refereed() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            state = await provision(state, generate)
            record = store_as(AuditRecord)
            _bring(ledger, team, player, str(state.sample_id), record)
            return state

        return solve

    return refereed()


def _bring(ledger: Ledger, team: str, player: str, sample: str, record: AuditRecord) -> None:
    # In a store of its own, so that nothing of it comes into the log.
    seal = AuditRecord(store=Store())
    seal.alias, seal.commitment = record.alias, record.commitment
    open_truth(seal)
    gates.weights(seal)
    active = sample_active()
    with changing(ledger) as (page, session):
        holder = session.holder(team, sample)
        if holder not in (None, player):
            raise SessionError(f"'{holder}' of your team has begun this target: give the command again for the next.")
        page.keep(opening_of(str(record.commitment)), json.dumps(seal.opened).encode())
        log = active.log_location.rpartition("/")[2] if active else ""
        begun = Begun(team=team, sample=sample, player=player, commitment=str(record.commitment), log=log)
        page.write("begun", begun.model_dump(mode="json"))
