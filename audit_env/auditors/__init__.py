"""Auditors that follow a script: the floor and the yardstick for every auditor that thinks.

They act through the tools and the report that a model would use, see what those tools show, and read nothing else but
the public parts of the catalogue (menu and family sheet). What they do is fixed before any run: no number in them was
fitted to an organism.
"""
