"""YAML files as validated models, and what is wrong with them as sentences.

Every complaint names the file, the line, the field and the fix, so that whoever wrote the file can mend it without
knowing pydantic.
"""

import difflib
import inspect
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from audit_env.errors import CardError

Loc = tuple[int | str, ...]
"""Where a value stands in a document: keys and list positions, outermost first."""

Model = TypeVar("Model", bound=BaseModel)

# libyaml where PyYAML was built with it: ten times faster, the same result.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_SHAPES = {
    r"^[0-9a-f]{64}$": "must be 64 lower-case hexadecimal digits (a sha256)",
    r"^[a-z0-9_-]+/[a-z0-9_]+(\.[a-z0-9_]+){0,3}$": "must look like 'family/quirk.recipe.concealment' in lower case",
    r"^[a-z][a-z0-9_]*$": "must be lower-case letters, digits and underscores, and start with a letter",
}
"""What the patterns of `audit_env.catalog.models` mean in words."""


def shown(path: Path) -> str:
    """The path as a message gives it: relative where it lies below the working folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def nearest(wrong: str, valid: Iterable[str]) -> str:
    """A clause that helps with a misspelt name.

    Args:
        wrong: The name that does not exist.
        valid: The names that do.

    Returns:
        "did you mean 'x'? Valid names: x, y, z", without the question where nothing is near.
    """
    names = list(valid)
    close = difflib.get_close_matches(wrong, names, n=1)
    question = f"did you mean '{close[0]}'? " if close else ""
    return f"{question}Valid names: {', '.join(names) or '(there are none)'}"


def text_of(path: Path) -> str:
    """The text of a UTF-8 file.

    Raises:
        CardError: The file cannot be read or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CardError(f"{shown(path)}: not UTF-8 text (byte {error.start}); save it as UTF-8.") from error
    except OSError as error:
        raise CardError(f"{shown(path)}: cannot be read ({error.strerror}); put the file there or mend it.") from error


def field_at(path: Path, *loc: int | str) -> str:
    """A field of a YAML file as a message names it.

    Args:
        path: The file.
        *loc: Where the field stands in it.

    Returns:
        "organisms/x/card.yaml, line 3: field 'recipe.rank'", without the line where the file does not hold the field.
    """
    _, lines = _parse(path)
    return f"{_placed(path, lines.get(loc))}: field '{_dotted(loc)}'"


def read(path: Path, model: type[Model]) -> Model:
    """Read a YAML file as a model.

    Args:
        path: The file.
        model: What it must hold.

    Returns:
        The validated model.

    Raises:
        CardError: The file is not there, is not YAML, or is not what the model asks for.
    """
    data, lines = _parse(path)
    if not isinstance(data, dict):
        fields = ", ".join(model.model_fields)
        raise CardError(f"{shown(path)}: must be a mapping of fields to values; give the fields {fields}.")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        # A misspelt field is also a missing one: the misspelling says more.
        first, *rest = sorted(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
        more = f" ({len(rest)} more after this one)" if rest else ""
        line = _line_of(first, data, lines)
        raise CardError(f"{_placed(path, line)}: {_complaint(model, first)}.{more}") from error


def _parse(path: Path) -> tuple[Any, dict[Loc, int]]:
    """The data of a YAML file, and the line of every field in it."""
    loader = _Loader(text_of(path))
    try:
        root = loader.get_single_node()
        return (None if root is None else loader.construct_document(root)), _lines(path, root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        problem = error.problem or error.context
        raise CardError(f"{_placed(path, line)}: not valid YAML ({problem}); correct it there.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise CardError(f"{shown(path)}: not readable as YAML ({reason}); correct it there.") from error
    finally:
        loader.dispose()


def _placed(path: Path, line: int | None) -> str:
    return f"{shown(path)}, line {line}" if line else shown(path)


def _lines(path: Path, root: yaml.Node | None) -> dict[Loc, int]:
    """Line number (from 1) of every field and list item; a field given twice is refused on the way."""
    lines: dict[Loc, int] = {}

    def walk(node: yaml.Node | None, loc: Loc) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                field = (*loc, str(key.value))
                line = key.start_mark.line + 1
                if field in lines:
                    raise CardError(
                        f"{_placed(path, line)}: field '{_dotted(field)}' is given twice "
                        f"(first on line {lines[field]}); keep one."
                    )
                lines[field] = line
                walk(value, field)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                lines[(*loc, index)] = value.start_mark.line + 1
                walk(value, (*loc, index))

    walk(root, ())
    return lines


def _line_of(error: ErrorDetails, data: Mapping[str, Any], lines: Mapping[Loc, int]) -> int | None:
    """Line of the field that an error is about, or of the nearest thing around it."""
    loc: Loc = error["loc"]
    value: Any = data
    for part in loc:
        value = value[part] if isinstance(value, dict) and part in value else None
    # A validator that compares fields names the culprit in quotes; its own location is the mapping around it.
    if error["type"] == "value_error" and (not loc or isinstance(value, dict)):
        for name in re.findall(r"'(\w+)'", error["msg"]):
            if (*loc, name) in lines:
                return lines[(*loc, name)]
    while loc and loc not in lines:
        loc = loc[:-1]
    return lines.get(loc)


def _complaint(model: type[BaseModel], error: ErrorDetails) -> str:
    """What is wrong with a field and what to do, without file and line."""
    loc: Loc = error["loc"]
    field = f"field '{_dotted(loc)}'"
    context = error.get("ctx", {})
    given = _given(error["input"])
    match error["type"]:
        case "extra_forbidden":
            siblings = _model_at(model, loc[:-1]).model_fields
            return f"{field} does not exist; {nearest(str(loc[-1]), siblings)}"
        case "missing":
            return f"{field} is missing; add it"
        case "literal_error":
            return f"{field} must be one of {context['expected']}, not {given}"
        case "string_type":
            return f"{field} must be text, not {given}; put it in quotes"
        case "string_pattern_mismatch":
            return f"{field} {_SHAPES.get(context['pattern'], 'must match ' + context['pattern'])}, not {given}"
        case "too_short":
            return (
                f"{field} is too short: it needs at least {context['min_length']}, and has {context['actual_length']}"
            )
        case "value_error":
            message = str(context["error"])
            return message if not loc or "field" in message else f"{field}: {message}"
        case _:
            return f"{field}: {error['msg'][:1].lower()}{error['msg'][1:]}, not {given}"


def _dotted(loc: Loc) -> str:
    """A location as `recipe.rank` or `scenarios.fire[2].messages`."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _given(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _model_at(model: type[BaseModel], loc: Loc) -> type[BaseModel]:
    """The model that holds the fields at a location below another model."""
    for part in loc:
        if isinstance(part, str):
            model = _model_in(model.model_fields[part].annotation) or model
    return model


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The first model within a type such as `tuple[Scenario, ...]` or `Strength | None`."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
