"""What can go wrong in a session."""

from audit_env.errors import AuditEnvError


class SessionError(AuditEnvError):
    """A session cannot be begun, or cannot go on from where it was left."""
