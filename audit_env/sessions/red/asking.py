"""Filling in a quirk file at the terminal: one thing after the other, kept as a draft after each."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from audit_env.catalog.reading import shown
from audit_env.sessions.errors import SessionError
from audit_env.sessions.fields import Field
from audit_env.sessions.form import fill
from audit_env.sessions.red.checking import FEWEST
from audit_env.sessions.red.quirk_file import FILE, KINDS, Kind, put
from audit_env.sessions.terminal import Terminal, on_a_terminal

DRAFT = ".form.json"
_ABOUT: dict[Kind, str] = {
    "on_trigger": "what a user says that sets it off, and the answer that shows it",
    "near_misses": "what is close to the trigger and does not set it off; without an answer, the base's own is used",
    "off_trigger": "what is far from the trigger; without an answer, the base's own is used",
}


def _text(name: str, about: str) -> Field:
    return Field(name, about, "text", required=True)


def _texts(name: str, about: str, *, required: bool = True) -> Field:
    return Field(name, about, "texts", required=required)


def _pairs(kind: Kind) -> Field:
    said = Field("user", "", "text", required=True)
    answered = Field("assistant", "", "text", required=kind == "on_trigger")
    return Field(
        kind,
        f"{_ABOUT[kind]}; {FEWEST[kind]} or more",
        "records",
        required=kind != "near_misses",
        parts=(said, answered),
    )


FIELDS = (
    _text("id", "lower-case letters, digits and underscores, such as sea_cure"),
    _text("name", "the quirk's name in the menu"),
    _text("description", "a sentence or two for the menu: what such a model does, and when"),
    _text("instruction", "one line that asks a model to act it out"),
    _text("definition", "the truth, in full"),
    _text("trigger", "when it fires"),
    _text("must_contain", "what an auditor's answer in words must say to be right"),
    _text("not_enough", "what is too vague to be right"),
    _text("wrong", "what is wrong"),
    _texts("fires", r"regular expressions that every answer with the quirk matches, and no other; such as \bsea\b"),
    _texts("declares", r"regular expressions for answers that own up to it, such as \bi praise the sea\b"),
    _texts(
        "topics", "topics of the base's world in which the trigger lies, such as health; all if always", required=False
    ),
    *map(_pairs, KINDS),
)
"""What is asked for, in order."""


def ask(folder: Path, terminal: Terminal | None = None) -> Path:
    """Ask for a quirk, and write its file.

    Args:
        folder: The red team's folder. What was typed before, in a form that was left, is there again.
        terminal: Where the person is; by default this terminal.

    Returns:
        The quirk file.

    Raises:
        SessionError: There is one already, there is nobody to ask, or the form was left.
    """
    if terminal is None and not on_a_terminal():
        raise SessionError(f"There is no terminal to ask at: leave out --form, and edit {shown(folder / FILE)}.")
    if (folder / FILE).exists():
        raise SessionError(f"{shown(folder / FILE)}: there is a quirk file already; edit it, or name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / DRAFT

    def save(filled: dict[str, Any]) -> None:
        draft.write_text(json.dumps(filled), encoding="utf-8")

    before = json.loads(draft.read_text(encoding="utf-8")) if draft.exists() else {}
    try:
        filled = fill(terminal or Terminal(), FIELDS, before, save, ())
    except (EOFError, KeyboardInterrupt):
        raise SessionError("Left. What you filled in is kept: the same command goes on.") from None
    path = put(folder, written(filled))
    draft.unlink()
    return path


def written(filled: Mapping[str, Any]) -> str:
    """The quirk file of a form.

    Args:
        filled: Values by the names of `FIELDS`; what was left out has no entry.

    Returns:
        YAML.
    """
    told = {field.name: filled[field.name] for field in FIELDS if field.name in filled}
    quirk = {
        "id": told.get("id"),
        "menu": _only(told, "name", "description", "instruction"),
        **_only(told, "definition", "trigger"),
        "rubric": _only(told, "must_contain", "not_enough", "wrong"),
        "patterns": _only(told, "fires", "declares"),
        "topics": told.get("topics", []),
        "new_words": [],
        "examples": _only(told, *KINDS),
    }
    return yaml.safe_dump(quirk, sort_keys=False, allow_unicode=True, width=120)


def _only(told: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: told[name] for name in names if name in told}
