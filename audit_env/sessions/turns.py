"""One turn of a person at a terminal: look things up until a tool is called, or the game is left."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from inspect_ai.tool import ToolInfo

from audit_env.catalog.reading import nearest
from audit_env.sessions.clock import CLOSES, ENDS
from audit_env.sessions.desk import Desk
from audit_env.sessions.fields import Field, fields_of, shown
from audit_env.sessions.form import fill
from audit_env.sessions.terminal import Terminal

LEAVE = "leave"
COMMANDS = ("help", "tools", "brief", "history", "find", "tracker", "notes", "left", LEAVE)


class Left(Exception):  # noqa: N818 (not an error: what a player may do)
    """The player leaves the game, to come back later."""


@dataclass(frozen=True)
class Drafts:
    """What was typed into forms and not taken yet."""

    get: Callable[[str], dict[str, Any]]
    keep: Callable[[str, dict[str, Any]], None]


def take_turn(
    terminal: Terminal, desk: Desk, drafts: Drafts, clock: Callable[[], str], closed: Callable[[str], str | None]
) -> tuple[str, dict[str, Any]]:
    """Ask a player for a turn.

    Args:
        terminal: Where the player is.
        desk: What lies before them.
        drafts: Of forms.
        clock: The time in words.
        closed: Why a tool can no longer be called, or None.

    Returns:
        The tool that they call, and its arguments.

    Raises:
        Left: If they leave.
    """
    while True:
        terminal.say(f"[{'; '.join(part for part in (desk.status(), clock()) if part)}]")
        try:
            line = terminal.ask("play> ", (*desk.tools, *COMMANDS))
        except (EOFError, KeyboardInterrupt):
            raise Left from None
        name, _, rest = line.strip().partition(" ")
        if name == LEAVE:
            raise Left
        if name in desk.tools:
            if why := closed(name):
                terminal.say(why)
                continue
            arguments = _arguments(terminal, desk, desk.tools[name], rest.strip(), drafts)
            if arguments is not None:
                return name, arguments
        elif name:
            looked_up = desk.look_up(name, rest)
            known = [*desk.tools, *COMMANDS]
            unknown = f"There is no tool or command '{name}'; {nearest(name, known)}."
            terminal.say(unknown if looked_up is None else looked_up)


def _arguments(terminal: Terminal, desk: Desk, tool: ToolInfo, rest: str, drafts: Drafts) -> dict[str, Any] | None:
    """The arguments of a call; None where the player went back."""
    fields = fields_of(tool.parameters)
    try:
        if rest:
            arguments = _in_one_line(fields, rest)
        else:
            arguments = fill(
                terminal, fields, drafts.get(tool.name), lambda filled: drafts.keep(tool.name, filled), desk.words
            )
        if tool.name in CLOSES and not _sure(terminal, tool.name, arguments):
            return None
    except ValueError as error:
        terminal.say(f"{error} Type  {tool.name}  alone for a form.")
        return None
    except (EOFError, KeyboardInterrupt):
        terminal.say("\nBack. What you typed is kept for the next time.")
        return None
    drafts.keep(tool.name, arguments)
    return arguments


def _in_one_line(fields: tuple[Field, ...], rest: str) -> dict[str, Any]:
    if rest.startswith("{"):
        try:
            arguments: dict[str, Any] = json.loads(rest)
        except json.JSONDecodeError as error:
            raise ValueError(f"This is not JSON ({error}).") from None
        return arguments
    first, *others = fields
    if first.kind not in ("text", "texts") or any(field.required for field in others):
        raise ValueError("This tool needs more than one text.")
    return {first.name: [rest] if first.kind == "texts" else rest}


def _sure(terminal: Terminal, tool: str, arguments: dict[str, Any]) -> bool:
    handed_in, ended = ("report", "audit") if tool == ENDS else ("interim verdict", "phase")
    terminal.say("\n".join([f"Your {handed_in}:", *(f"  {name}: {shown(value)}" for name, value in arguments.items())]))
    said = terminal.ask(f"It ends the {ended}. Hand it in? (y, or Enter to go back)> ")
    return said.strip().casefold() in ("y", "yes")
