"""Filling in the arguments of a tool, one after the other. What was typed is kept as a draft until it was taken."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from audit_env.sessions.fields import Field, shown, value_of
from audit_env.sessions.terminal import Terminal

CLEAR = "-"
"""Typed alone, it takes back what a draft holds."""

Save = Callable[[dict[str, Any]], None]


def fill(
    terminal: Terminal, fields: Sequence[Field], draft: Mapping[str, Any], save: Save, words: Collection[str]
) -> dict[str, Any]:
    """Ask for the arguments of a tool.

    Args:
        terminal: Where the person is.
        fields: What is asked for.
        draft: What was typed before: Enter keeps it.
        save: Called after every field with all that is filled in so far.
        words: What the Tab key completes.

    Returns:
        The arguments. Those that were left out have no entry.
    """
    if draft:
        terminal.say(f"(Enter keeps what stands in brackets; {CLEAR} takes it back.)")
    kept = dict(draft)
    for field in fields:
        terminal.say(f"  {field.name} ({field.told}): {field.about}")
        value = _asked(terminal, field, f"  {field.name}", kept.get(field.name), words)
        kept.pop(field.name, None)
        if value is not None:
            kept[field.name] = value
        save(kept)
    return kept


def _asked(terminal: Terminal, field: Field, prompt: str, before: Any, words: Collection[str]) -> Any:
    if field.kind in ("texts", "records"):
        return _list(terminal, field, prompt, before, words)
    words = [*words, *field.choices]
    while True:
        line = terminal.ask(f"{prompt}{f' [{shown(before)}]' if before is not None else ''}> ", words)
        if line.strip() == CLEAR and before is not None:
            before = None
        elif line.strip():
            try:
                return value_of(field, line)
            except ValueError as error:
                terminal.say(f"  {error}")
        elif before is not None or not field.required:
            return before
        else:
            terminal.say(f"  '{field.name}' is required (Ctrl-C goes back without it).")


def _list(terminal: Terminal, field: Field, prompt: str, before: Any, words: Collection[str]) -> list[Any] | None:
    if before:
        for number, one in enumerate(before, start=1):
            terminal.say(f"  [{number}. {shown(one)}]")
        said = terminal.ask(f"{prompt}: Enter keeps these {len(before)}, {CLEAR} begins anew> ")
        if said.strip() != CLEAR:
            return list(before)
    while True:
        items = _items(terminal, field, prompt, words)
        if items or not field.required:
            return items or None
        terminal.say(f"  '{field.name}' needs at least one (Ctrl-C goes back without it).")


def _items(terminal: Terminal, field: Field, prompt: str, words: Collection[str]) -> list[Any]:
    items: list[Any] = []
    while True:
        numbered = f"{prompt} {len(items) + 1}"
        item = (
            _record(terminal, field.parts, numbered, words)
            if field.kind == "records"
            else terminal.ask(f"{numbered}> ", words).strip()
        )
        if not item:
            return items
        items.append(item)


def _record(terminal: Terminal, parts: Sequence[Field], prompt: str, words: Collection[str]) -> dict[str, Any]:
    """One record; empty where its first part was left empty."""
    first = terminal.ask(f"{prompt} {parts[0].name}> ", words).strip()
    if not first:
        return {}
    record: dict[str, Any] = {parts[0].name: first}
    for part in parts[1:]:
        value = _asked(terminal, part, f"{prompt} {part.name} ({part.told})", None, words)
        if value is not None:
            record[part.name] = value
    return record
