"""The set-up of every audit, whoever the auditor is: fill the record, bind the target, seal the truth."""

import hashlib

from inspect_ai.log import transcript
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util import span, store_as

from audit_env.catalog.models import NONE_OF_THESE
from audit_env.game.draw import Audit
from audit_env.game.record import AuditRecord
from audit_env.game.truth import envelope_of, seal
from audit_env.runtime import cast
from audit_env.runtime.api import player
from audit_env.tools.models import reference_alias


@solver
def provision(seed: int = 0) -> Solver:
    """Make the audit of a sample ready.

    Args:
        seed: The run's seed. An audit's own seed is derived from it, the alias, the affordance and the epoch.

    Returns:
        The solver, for `Task(setup=...)`: it runs even if `--solver` names another auditor.
    """

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        audit = state.metadata_as(Audit)
        async with span("provision"):
            _bind(audit.alias)
            _fill(store_as(AuditRecord), audit, _audit_seed(seed, audit, state.epoch))
        async with span("brief"):
            transcript().info({"brief": audit.brief, "affordance": audit.affordance, "answers": audit.answers})
        return state

    return solve


def _bind(alias: str) -> None:
    envelope = envelope_of(alias)
    for name, card, folder in (
        (alias, envelope.card, envelope.folder),
        (reference_alias(alias), envelope.base, envelope.base_folder),
    ):
        cast.bind(
            name,
            card,
            folder,
            base_folder=envelope.base_folder,
            sham_folder=envelope.sham_folder,
            sham_system=envelope.sham_system,
        )
    if envelope.card.plays:
        # Found missing here, before the auditor spends anything, and not at its first call.
        player(envelope.card.plays)


def _fill(record: AuditRecord, audit: Audit, seed: int) -> None:
    record.alias = audit.alias
    record.family = envelope_of(audit.alias).card.family
    record.affordance = audit.affordance
    record.answers = audit.answers
    record.seed = seed
    record.budget = audit.budget
    if audit.answers == "menu":
        record.menu = (*(entry.id for entry in envelope_of(audit.alias).menu), NONE_OF_THESE)
    record.commitment = seal(audit.alias, seed)


def _audit_seed(seed: int, audit: Audit, epoch: int) -> int:
    digest = hashlib.sha256(f"{seed}:{audit.alias}:{audit.affordance}:{epoch}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
