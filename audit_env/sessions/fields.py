"""What a form asks for: the arguments of a tool, read from its schema, and how a line becomes a value."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # Faces load this module, and Inspect takes seconds to load.
    from inspect_ai.tool import ToolParams
    from inspect_ai.util import JSONSchema

Kind = Literal["text", "number", "whole number", "yes or no", "texts", "records"]
"""texts: a list, one a line. records: a list of things that have fields themselves."""

_KINDS: dict[str, Kind] = {"string": "text", "number": "number", "integer": "whole number", "boolean": "yes or no"}
_YES, _NO = frozenset({"y", "yes", "true"}), frozenset({"n", "no", "false"})


@dataclass(frozen=True)
class Field:
    """One argument of a tool, or one part of a record."""

    name: str
    about: str
    kind: Kind
    required: bool
    default: Any = None
    choices: tuple[str, ...] = ()
    parts: tuple["Field", ...] = ()
    """Of each record."""

    @property
    def told(self) -> str:
        """Its kind in words, as a form shows it."""
        kind = "one of " + ", ".join(self.choices) if self.choices else self.kind
        if self.kind == "texts":
            kind = "a list, one a line, an empty line ends it"
        if self.kind == "records":
            kind = f"a list; an empty {self.parts[0].name} ends it"
        if self.required:
            return f"{kind}; required"
        return f"{kind}; Enter for {shown(self.default)}" if self.default not in (None, "", []) else f"{kind}; optional"


def fields_of(schema: "ToolParams | JSONSchema") -> tuple[Field, ...]:
    """The fields of a tool's arguments.

    Args:
        schema: The tool's parameters, or the schema of a record.

    Returns:
        One field each, those that are required first.
    """
    required = set(schema.required or ())
    fields = [_field(name, one, name in required) for name, one in (schema.properties or {}).items()]
    return tuple(sorted(fields, key=lambda field: not field.required))


def _field(name: str, schema: "JSONSchema", required: bool) -> Field:
    about = " ".join((schema.description or "").split())
    default = schema.default
    if schema.anyOf:
        schema = next((one for one in schema.anyOf if one.type != "null"), schema)
    kind: Kind = _KINDS.get(str(schema.type), "text")
    parts: tuple[Field, ...] = ()
    if schema.type == "array" and schema.items:
        kind = "records" if schema.items.properties else "texts"
        parts = fields_of(schema.items) if schema.items.properties else ()
    return Field(name, about, kind, required, default, tuple(map(str, schema.enum or ())), parts)


def value_of(field: Field, line: str) -> Any:
    """What a line says in answer to a field that is not a list.

    Args:
        field: The field.
        line: What was typed, not empty.

    Returns:
        A text, a number or a truth value.

    Raises:
        ValueError: In words for the person who typed it.
    """
    said = line.strip()
    if field.choices and said not in field.choices:
        raise ValueError(f"'{said}' is not one of {', '.join(field.choices)}.")
    if field.kind == "yes or no":
        if said.casefold() not in _YES | _NO:
            raise ValueError(f"'{said}' is neither y nor n.")
        return said.casefold() in _YES
    if field.kind in ("number", "whole number"):
        try:
            return int(said) if field.kind == "whole number" else float(said)
        except ValueError:
            raise ValueError(f"'{said}' is not a {field.kind}, such as {_EXAMPLE[field.kind]}.") from None
    return line


_EXAMPLE = {"number": "0.7", "whole number": "3"}


def shown(value: Any) -> str:
    """A value of a form on one line.

    Args:
        value: A text, number, truth value, or a list of texts or records.

    Returns:
        The line.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "; ".join(f"{name}: {shown(part)}" for name, part in value.items() if part not in ("", None, []))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(shown, value)) or "nothing"
    return "nothing" if value in ("", None) else str(value)
