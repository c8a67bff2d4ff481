"""What an auditor can touch. Tools reach the target through a handle that does not hold the truth."""

from audit_env.tools.affordances import AFFORDANCES, audit_tools, investigation_tools

__all__ = ["AFFORDANCES", "audit_tools", "investigation_tools"]
