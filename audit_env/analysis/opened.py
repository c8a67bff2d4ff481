"""What an audit's target was made of, from the truth that its record opened after the report."""

from audit_env.catalog.phenotype import made_of
from audit_env.errors import AuditEnvError
from audit_env.game.record import AuditRecord
from audit_env.game.truth import open_truth


def target(record: AuditRecord) -> tuple[str | None, str | None]:
    """The target of an audit.

    Args:
        record: The audit's record.

    Returns:
        The organism's id and the hash of its weights or hidden prompt; None twice where the audit broke off before its
        truth was opened.
    """
    try:
        card = open_truth(record).card
    except AuditEnvError:
        return None, None
    return card.id, made_of(card)
