"""Commands that are imported when they are called."""

from importlib import import_module
from typing import Any

import click


class Elsewhere(click.Command):
    """A command or group that lives in a module of its own, which may be slow to import.

    It stands in the help of its group with one line, and hands over to the real one when it is called.
    """

    def __init__(self, name: str, where: str, help: str) -> None:
        super().__init__(name, help=help)
        self._where = where

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Hand over to the command itself.

        Args:
            info_name: Name under which it was called.
            args: Its arguments.
            parent: Click's context of the group.
            extra: More settings of click's.

        Returns:
            The context of the command itself, which click then invokes.
        """
        module, name = self._where.split(":")
        command: click.Command = getattr(import_module(module), name)
        return command.make_context(info_name, args, parent, **extra)
