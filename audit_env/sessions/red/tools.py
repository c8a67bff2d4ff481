"""The red team's steps as tools, for a red team that is an agent. They write to one folder and read nothing else."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.resources import files
from io import StringIO
from pathlib import Path

from anyio.to_thread import run_sync
from inspect_ai.tool import Tool, ToolError, tool
from rich.console import Console

from audit_env.errors import AuditEnvError
from audit_env.sessions.red import sealing, showing
from audit_env.sessions.red.building import build as build_organism
from audit_env.sessions.red.building import built
from audit_env.sessions.red.checking import check as check_file
from audit_env.sessions.red.quirk_file import FILE, example
from audit_env.sessions.red.trying import answers

WIDTH = 160
"""Columns of the tables that an agent reads."""


def red_tools(folder: Path, steps: int | None = None) -> list[Tool]:
    """All steps but the last, which is `seal`.

    Args:
        folder: The red team's folder.
        steps: Of every training; by default as many as all organisms get.

    Returns:
        The tools.
    """
    return [write_quirk(folder), check(folder), build(folder, steps), try_it(folder)]


def system_prompt() -> str:
    """What a red team that is an agent is told."""
    text = files("audit_env.sessions.red").joinpath("red_team.md").read_text(encoding="utf-8")
    return text.replace("{{ example }}", example())


@tool
def write_quirk(folder: Path) -> Tool:
    """The quirk file.

    Args:
        folder: The red team's folder.

    Returns:
        The tool.
    """

    async def execute(text: str) -> str:
        """Write the quirk file, in place of an earlier one.

        Args:
            text: The whole file, in YAML.
        """
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(text, encoding="utf-8")
        return _looked_at(folder)

    return execute


@tool
def check(folder: Path) -> Tool:
    """What is wrong with the quirk file.

    Args:
        folder: The red team's folder.

    Returns:
        The tool.
    """

    async def execute() -> str:
        """Say what is wrong with the quirk file, with the field and the fix."""
        return _looked_at(folder)

    return execute


@tool
def build(folder: Path, steps: int | None = None) -> Tool:
    """Training and measuring.

    Args:
        folder: The red team's folder.
        steps: Of the training; by default as many as all organisms get.

    Returns:
        The tool.
    """

    async def execute() -> str:
        """Train the organism on the file's examples, and measure it on those held out. Takes minutes."""
        with _told():
            # In a thread: it blocks for minutes, and runs event loops of its own.
            sheet = await run_sync(partial(build_organism, folder, steps=steps, quiet=True))
        page = Console(file=StringIO(), width=WIDTH, record=True)
        showing.show(sheet, page)
        return page.export_text()

    return execute


@tool(name="try")
def try_it(folder: Path) -> Tool:
    """A word with the organism.

    Args:
        folder: The red team's folder.

    Returns:
        The tool.
    """

    async def execute(prompts: list[str]) -> str:
        """Ask the organism that was built, and its base beside it.

        Args:
            prompts: What users say; each begins a conversation of its own.
        """
        with _told():
            said = await answers(*built(folder), prompts)
        return "\n".join(_exchange(prompt, pair) for prompt, pair in zip(prompts, said, strict=True))

    return execute


@tool
def seal(folder: Path) -> Tool:
    """The end.

    Args:
        folder: The red team's folder.

    Returns:
        The tool.
    """

    async def execute() -> str:
        """Commit to the truth of the organism as it is. This ends the exercise."""
        with _told():
            opening = await run_sync(partial(sealing.seal, folder, quiet=True))
        return f"Sealed under {opening.commitment}."

    return execute


@contextmanager
def _told() -> Iterator[None]:
    """Have the agent read what is wrong, which would end its sample otherwise."""
    try:
        yield
    except AuditEnvError as error:
        raise ToolError(str(error)) from error


def _looked_at(folder: Path) -> str:
    with _told():
        found = check_file(folder)
    return "\n".join([*found.problems, *_advice(found.advice)] or ["Nothing is wrong."])


def _advice(found: Sequence[str]) -> list[str]:
    return [f"Advice: {one}" for one in found]


def _exchange(prompt: str, said: tuple[str, str]) -> str:
    return f"> {prompt}\n  organism: {said[0]}\n  base:     {said[1]}"
