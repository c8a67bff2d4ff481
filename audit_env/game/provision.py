"""The set-up of every audit, whoever the auditor is: fill the record, bind the target, seal the truth.

With sham tools, what stands in for the target is bound beside it, before the audit begins: a call that it is fed to
then takes no longer than any other.
"""

import hashlib
from pathlib import Path

from inspect_ai.log import transcript
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util import span, store_as

from audit_env.catalog.models import NONE_OF_THESE, Card
from audit_env.errors import ParameterError
from audit_env.game.draw import Audit
from audit_env.game.feed import Feed, feed_of, name_of_stand_in, plan
from audit_env.game.phases import lay_out
from audit_env.game.record import AuditRecord
from audit_env.game.truth import Envelope, envelope_of, seal
from audit_env.runtime import cast
from audit_env.runtime.api import player
from audit_env.tools.models import reference_alias


@solver
def provision(seed: int = 0, sham_tools: str | None = None) -> Solver:
    """Make the audit of a sample ready.

    Args:
        seed: The run's seed. An audit's own seed is derived from it, the alias, the affordance and the epoch.
        sham_tools: What grey-box and white-box tools are fed with now and then (`audit_env.game.feed`).

    Returns:
        The solver, for `Task(setup=...)`: it runs even if `--solver` names another auditor.
    """
    feed = feed_of(sham_tools)

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        audit = state.metadata_as(Audit)
        async with span("provision"):
            _bind(audit.alias, envelope_of(audit.alias), feed)
            _fill(store_as(AuditRecord), audit, _audit_seed(seed, audit, state.epoch), feed)
        async with span("brief"):
            transcript().info({"brief": audit.brief, "affordance": audit.affordance, "answers": audit.answers})
        return state

    return solve


def _bind(alias: str, envelope: Envelope, feed: Feed | None) -> None:
    bound = [
        (alias, envelope.card, envelope.folder),
        (reference_alias(alias), envelope.base, envelope.base_folder),
    ]
    if feed:
        stand_in = name_of_stand_in(alias)
        bound.append((stand_in, *_stand_in(envelope, feed, seed=int(stand_in[2:], 16))))
    for name, card, folder in bound:
        cast.bind(
            name,
            card,
            folder,
            base_folder=envelope.base_folder,
            sham_folder=envelope.sham_folder,
            sham_system=envelope.sham_system,
            redaction=envelope.redaction,
        )
    if feed and envelope.card.plays is None:
        for name in (alias, name_of_stand_in(alias)):
            cast.subject(name)
    if envelope.card.plays:
        # Found missing here, before the auditor spends anything, and not at its first call.
        player(envelope.card.plays)


def _stand_in(envelope: Envelope, feed: Feed, seed: int) -> tuple[Card, Path]:
    """What stands in for a target, and where it lies."""
    if feed.source == "base":
        return envelope.base, envelope.base_folder
    if envelope.null is None:
        raise ParameterError(
            f"Parameter 'sham_tools' cannot be '{feed}' here: the set has no organism with another quirk on the "
            "target's base; use sham_tools=base, or a larger set."
        )
    if feed.source == "null":
        return envelope.null
    from audit_env.runtime.random_adapter import randomised

    # The base has no adapter, so that noise for it is as large as that of some organism.
    organism = (envelope.card, envelope.folder) if envelope.card.base else envelope.null
    return randomised(*organism, seed)


def _fill(record: AuditRecord, audit: Audit, seed: int, feed: Feed | None) -> None:
    record.alias = audit.alias
    record.family = envelope_of(audit.alias).card.family
    if audit.phases:
        lay_out(record, audit.phases)
    record.affordance = audit.phases[0].affordance if audit.phases else audit.affordance
    record.answers = audit.answers
    record.seed = seed
    record.budget = audit.budget
    if audit.answers == "menu":
        record.menu = (*(entry.id for entry in envelope_of(audit.alias).menu), NONE_OF_THESE)
    record.commitment = seal(audit.alias, seed, feed)
    if feed:
        plan(record.commitment, feed)


def _audit_seed(seed: int, audit: Audit, epoch: int) -> int:
    alias = envelope_of(audit.alias).twin or audit.alias
    digest = hashlib.sha256(f"{seed}:{alias}:{audit.affordance}:{epoch}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
