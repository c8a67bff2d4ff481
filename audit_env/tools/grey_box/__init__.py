"""The target beside its clean base: what each answers, and how likely each finds an answer."""

from audit_env.tools.grey_box.compare import compare
from audit_env.tools.grey_box.likelihood import likelihood

__all__ = ["compare", "likelihood"]
