"""What lies before the players at one turn, as data: what the game lays out for faces that are processes of their own.

It says what the game's own prompt would show, and nothing more. Faces load this module, so it loads nothing heavy.
"""

from typing import Literal

from pydantic import BaseModel

from audit_env.sessions.fields import Field


class ToolSheet(BaseModel):
    """A tool, and what its form asks for."""

    name: str
    about: str
    """Paragraphs."""
    fields: tuple[Field, ...]

    @property
    def in_short(self) -> str:
        """Its first sentence."""
        return " ".join(self.about.split()).split(". ")[0].rstrip(".") + "."


class Said(BaseModel):
    """One turn of a conversation with the target."""

    role: Literal["system", "user", "assistant"]
    text: str
    id: str = ""
    """Of an answer, for citing it."""


class Finding(BaseModel):
    """An answer or a reading that can be cited as evidence."""

    id: str
    source: str
    """Who answered, or the tool that read."""
    at_call: int
    asked: str
    text: str


class Suspicion(BaseModel):
    """A hypothesis of the tracker, as it stands."""

    key: str
    statement: str
    trigger: str
    menu_id: str | None
    confidence: float
    evidence: tuple[str, ...]
    status: str


class Made(BaseModel):
    """A turn that was played."""

    who: str
    tool: str
    arguments: str
    answer: str
    refused: bool


class View(BaseModel):
    """What lies before the players at one turn."""

    number: int
    """Of the turn that comes next, from 0."""
    alias: str
    affordance: str
    brief: str
    tools: dict[str, ToolSheet]
    menu: tuple[str, ...]
    made: tuple[Made, ...]
    conversations: dict[str, tuple[Said, ...]]
    findings: tuple[Finding, ...]
    tracker: tuple[Suspicion, ...]
    notes: tuple[str, ...]
    status: str
    """What is left of the budget, in short."""
    limit: float | None
    """Seconds that the game may be played, over all sittings."""

    @property
    def citable(self) -> tuple[str, ...]:
        """Ids of answers and readings."""
        return tuple(finding.id for finding in self.findings)
