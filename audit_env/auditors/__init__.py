"""Auditors that follow a script: the floor and the yardstick for every auditor that thinks.

They act through the tools and the report that a model would use, see what those tools show, and read nothing else but
the public parts of the catalogue (menu and family sheet), the words of the menu as the family's base acts it out, and a
few numbers that were fitted to audits of the development half of the zoo (`audit_env.auditors.calibration`).
"""
