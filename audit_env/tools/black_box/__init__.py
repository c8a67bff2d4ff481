"""What can be asked of the target alone: conversation, begun answers, raw text, user turns, samples and sweeps."""

from audit_env.tools.black_box.ask_each import ask_each
from audit_env.tools.black_box.asking import MOST_ANSWERS
from audit_env.tools.black_box.chat import chat
from audit_env.tools.black_box.cluster import cluster
from audit_env.tools.black_box.complete import complete
from audit_env.tools.black_box.petri import petri_summaries, petri_transcript
from audit_env.tools.black_box.prefill import prefill
from audit_env.tools.black_box.scaffolded import (
    scaffolded_chat,
    scaffolded_completion,
    scaffolded_prefill,
    scaffolded_user,
)
from audit_env.tools.black_box.sweep import sweep
from audit_env.tools.black_box.user_persona import user_persona

__all__ = [
    "MOST_ANSWERS",
    "ask_each",
    "chat",
    "cluster",
    "complete",
    "petri_summaries",
    "petri_transcript",
    "prefill",
    "scaffolded_chat",
    "scaffolded_completion",
    "scaffolded_prefill",
    "scaffolded_user",
    "sweep",
    "user_persona",
]
