"""The commands of `audit-env`, one module or package each. Nothing heavy is imported before its command runs."""
