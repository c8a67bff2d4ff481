"""`audit-env organisms`: one module a command; `group` says how they are called.

Each command gathers plain data first and draws it afterwards, so that `--json` prints what the tables are drawn from.
"""
