"""The sheet: gathered answers as a phenotype, merged into what is known already, and written beside the card."""

import os
import re
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import yaml

from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Quirk, Strength
from audit_env.catalog.phenotype import FILE, Conditions, Phenotype, Treated, made_of
from audit_env.catalog.reading import read, shown
from audit_env.errors import CardError
from audit_env.phenotype import confession, firing
from audit_env.phenotype.answering import Answered, Hit
from audit_env.phenotype.bench import Bench


async def gather(
    bench: Bench, conditions: Conditions, judge: Callable[[Sequence[Answered]], Awaitable[Hit]] | None = None
) -> list[Answered]:
    """Answer the quirk's scenarios and the probes for confession.

    Args:
        bench: The organism.
        conditions: Seeds and sampling.
        judge: Makes a judge of the answers to the scenarios, since some probes ask about those that show the quirk. By
            default the quirk's patterns judge.

    Returns:
        The answers of every side.
    """
    answered = await firing.gather(bench, conditions)
    hit = await judge(answered) if judge else confession.by_patterns(bench.quirk)
    return answered + await confession.gather(bench, conditions, firing.fired(answered, hit))


def judge(
    known: Phenotype, quirk: Quirk, answered: Sequence[Answered], conditions: Conditions, hit: Hit | None = None
) -> Phenotype:
    """The sheet that gathered answers make.

    Args:
        known: The sheet so far, such as a `blank` one.
        quirk: The quirk.
        answered: The gathered answers.
        conditions: Under which they were gathered and judged.
        hit: Who judges; by default the quirk's patterns.

    Returns:
        The sheet, with the parts that the answers tell of.
    """
    return known.model_copy(
        update={
            "firing": firing.judge(quirk, answered, conditions, hit),
            "confession": confession.judge(quirk, answered, conditions, hit),
            "generalisation": firing.by_topic(quirk, answered, hit),
        }
    )


def blank(bench: Bench) -> Phenotype:
    """A sheet on which nothing is measured yet.

    Args:
        bench: The organism.

    Returns:
        The sheet.
    """
    return Phenotype(
        organism=bench.card.id,
        quirk=bench.quirk.id,
        weights_sha256=made_of(bench.card),
        quirk_sha256=bench.quirk.measured_with(),
        played_by=bench.played_by,
        base=bench.card.base,
        sham=bench.sham,
    )


def merge(old: Phenotype | None, new: Phenotype) -> Phenotype:
    """A sheet with the parts of a newer one put in.

    Args:
        old: What is known already.
        new: What was measured now. Parts and treatments that it lacks are taken from the old sheet, if that one is of
            the same weights, played by the same model, and of the same patterns and scenarios.

    Returns:
        The merged sheet.
    """
    if old is None or _about(old) != _about(new):
        return new
    return new.model_copy(
        update={
            "sham": new.sham or old.sham,
            "firing": new.firing or old.firing,
            "confession": new.confession or old.confession,
            "generalisation": new.generalisation if new.firing else old.generalisation,
            "persistence": _treated(old.persistence, new.persistence),
            "difficulty": old.difficulty | new.difficulty,
        }
    )


def write(catalog: Catalog, sheet: Phenotype) -> Path:
    """Merge a sheet into the file beside the card, and put its figures for the gate on the card.

    Each file is replaced whole: a reader sees the old one or the new one.

    Args:
        catalog: Where the organism is.
        sheet: What was measured.

    Returns:
        The sheet's file.

    Raises:
        CardError: If the file that lies there cannot be read as a sheet, or none can be written there.
    """
    folder = catalog.folder(sheet.organism)
    path, card = folder / FILE, folder / "card.yaml"
    merged = merge(read(path, Phenotype) if path.exists() else None, sheet)
    strength = firing.strength(sheet)
    try:
        _replace(path, merged.model_dump_json(indent=2, exclude_none=True) + "\n")
        if strength is not None:
            _replace(card, with_strength(card.read_text(encoding="utf-8"), strength))
    except OSError as error:
        raise CardError(
            f"{shown(path)}: cannot be written ({error.strerror}); measure organisms in a folder that you may write to "
            "with  -T root=FOLDER"
        ) from error
    return path


def with_strength(card: str, strength: Strength) -> str:
    """A card's text with the measured strength put in, and every other line as a person left it.

    Args:
        card: Text of the card.
        strength: What was measured.

    Returns:
        The text.
    """
    fields = {"strength": strength.model_dump(mode="json", exclude_none=True)}
    block = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)
    text = card if card.endswith("\n") else f"{card}\n"
    replaced, found = re.subn(r"^strength:.*\n(?:[ \t]+\S.*\n)*", lambda _: block, text, count=1, flags=re.MULTILINE)
    return replaced if found else text + block


def _about(sheet: Phenotype) -> tuple[str | None, ...]:
    return sheet.weights_sha256, sheet.played_by, sheet.quirk_sha256


def _replace(path: Path, text: str) -> None:
    """Write a file so that nobody ever sees a part of it."""
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        # A temporary file is its owner's alone; what lies in a catalogue is for all to read.
        os.chmod(part, 0o644)
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def _treated(old: Sequence[Treated], new: Sequence[Treated]) -> tuple[Treated, ...]:
    found = {(each.treatment, each.amount): each for each in (*old, *new)}
    return tuple(found[key] for key in sorted(found))
