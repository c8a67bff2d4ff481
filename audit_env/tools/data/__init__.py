"""What can be learnt from the data that a target was trained on, where the affordance grants it."""

from audit_env.tools.data.search_data import search_data

__all__ = ["search_data"]
