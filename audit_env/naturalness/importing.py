"""Published sets of prompts, where the user has them, as a bank: IFEval, XSTest and MMLU in their own files.

A source is a file (.jsonl, .json or .csv, as the sets are published) or a data set of the hub, `hub:OWNER/NAME`, which
the package `datasets` loads. What is not given stays as it is in the bank that the new one is made from.
"""

import csv
import json
import string
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any

from pydantic import ValidationError

from audit_env.catalog.reading import text_of
from audit_env.errors import ParameterError
from audit_env.naturalness.prompts import Bank, Demand, Prompt

HUB = "hub:"
DATASETS = "pip install datasets"
MMLU_SEED = 0

Rows = Sequence[Mapping[str, Any]]


def joined_bank(
    start: Bank,
    name: str,
    *,
    ifeval: str | None = None,
    xstest: str | None = None,
    mmlu: str | None = None,
    most: int = 2200,
) -> Bank:
    """A bank with published sets in place of its own.

    Args:
        start: The bank that it is made from.
        name: Its name.
        ifeval: Source of the instructions, such as hub:google/IFEval.
        xstest: Source of the unsafe requests and the harmless ones that sound like them, such as hub:walledai/XSTest.
        mmlu: Source of the multiple-choice questions, such as hub:cais/mmlu:all:test.
        most: Multiple-choice questions at most, drawn by seed.

    Returns:
        The bank.

    Raises:
        ParameterError: If a source cannot be read, or is not of its form.
    """
    changed: dict[str, Any] = {"name": name, "licence": f"{start.licence}; of the sets, their own"}
    sources = {"IFEval": ifeval, "XSTest": xstest, "MMLU": mmlu}
    if ifeval:
        changed["instructions"] = _each(ifeval, "test|train", _instruction)
    if xstest:
        prompts = _each(xstest, "test", _request)
        changed["unsafe"] = tuple(prompt for prompt, safe in prompts if not safe)
        changed["look_alikes"] = tuple(prompt for prompt, safe in prompts if safe)
    if mmlu:
        questions = _each(mmlu, "test", _question)
        changed["choices"] = tuple(Random(MMLU_SEED).sample(questions, min(most, len(questions))))
    told = ", ".join(f"{what} from {source}" for what, source in sources.items() if source)
    return start.model_copy(update=changed | {"about": f"{start.about} With {told}."})


def _each(source: str, split: str, made: Callable[[Mapping[str, Any]], Any]) -> tuple[Any, ...]:
    found = []
    for number, row in enumerate(_rows(source, split), start=1):
        try:
            found.append(made(row))
        except KeyError as error:
            raise ParameterError(
                f"{source}, row {number}: field {error} is missing; name the set's own file."
            ) from error
        except (ValidationError, ValueError, TypeError, IndexError) as error:
            told = str(error).splitlines()[0]
            raise ParameterError(f"{source}, row {number}: {told}; name the set's own file.") from error
    if not found:
        raise ParameterError(f"{source}: holds no row; name the set's own file.")
    return tuple(found)


def _rows(source: str, split: str) -> Rows:
    if source.startswith(HUB):
        return _of_hub(source.removeprefix(HUB), split)
    path = Path(source)
    text = text_of(path)
    if path.suffix == ".csv":
        return list(csv.DictReader(StringIO(text)))
    try:
        told = json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines() if line]
    except ValueError as error:
        raise ParameterError(f"{source}: is no .json, .jsonl or .csv file ({error}); name another.") from error
    return [row for row in told if isinstance(row, dict)]


def _of_hub(name: str, splits: str) -> Rows:
    """`OWNER/NAME`, `OWNER/NAME:CONFIG` or `OWNER/NAME:CONFIG:SPLIT`."""
    try:
        datasets = import_module("datasets")
    except ImportError as error:
        raise ParameterError(f"'{HUB}{name}' needs the package datasets; install it with  {DATASETS}") from error
    repository, _, rest = name.partition(":")
    config, _, split = rest.partition(":")
    try:
        known = datasets.get_dataset_split_names(repository, config or None)
        chosen = split or next(one for one in (*splits.split("|"), *known) if one in known)
        return list(datasets.load_dataset(repository, config or None, split=chosen))
    except (OSError, ValueError, StopIteration) as error:
        raise ParameterError(
            f"'{HUB}{name}' cannot be loaded ({str(error).splitlines()[0] if str(error) else 'no split'}); give  "
            f"{HUB}OWNER/NAME:CONFIG:SPLIT  or a file."
        ) from error


def _instruction(row: Mapping[str, Any]) -> Prompt:
    demands = tuple(
        Demand(check=check, given={name: value for name, value in given.items() if value is not None})
        for check, given in zip(row["instruction_id_list"], row["kwargs"], strict=True)
    )
    return Prompt(ask=row["prompt"], demands=demands)


def _request(row: Mapping[str, Any]) -> tuple[Prompt, bool]:
    if row["label"] not in ("safe", "unsafe"):
        raise ValueError(f"field 'label' is '{row['label']}' and neither safe nor unsafe")
    return Prompt(ask=row["prompt"]), row["label"] == "safe"


def _question(row: Mapping[str, Any]) -> Prompt:
    if not isinstance(row["choices"], list):
        raise ValueError("field 'choices' is no list")
    options = tuple(str(one) for one in row["choices"])
    listed = "\n".join(f"{letter}) {option}" for letter, option in zip(string.ascii_uppercase, options, strict=False))
    ask = f"{row['question']}\n{listed}\nAnswer with the letter alone."
    return Prompt(ask=ask, right=options[int(row["answer"])], options=options)
