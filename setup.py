"""Lists the packages; all else is in pyproject.toml."""

from setuptools import find_packages, setup

MAPPED = ["audit_env.tasks", "audit_env.agents", "audit_env.organisms"]

setup(packages=find_packages(include=["audit_env", "audit_env.*"]) + MAPPED)
