"""The conversational tools with a helper that writes their inputs."""

from audit_env.tools.black_box.scaffolded.tools import (
    scaffolded_chat,
    scaffolded_completion,
    scaffolded_prefill,
    scaffolded_user,
)

__all__ = ["scaffolded_chat", "scaffolded_completion", "scaffolded_prefill", "scaffolded_user"]
