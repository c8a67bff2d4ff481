"""Chooses the thresholds of the lexical judge on the half `tune`, and measures it on the half `test`."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import yaml

from audit_env.catalog.files import Catalog
from audit_env.game.judging.agreement import Verdict, agreement, kappas
from audit_env.game.judging.labelled import Item, digest, labelled_set
from audit_env.game.judging.lexical import FILE, LexicalFile, Lexicon, Measured, Thresholds, caveat

GUIDE = Path(__file__).parent / "GUIDE.md"

LETTERS = (4, 5, 6, 7)
SIMILARITIES = tuple(step / 50 for step in range(25, -1, -1))
MARGINS = tuple(step / 50 for step in range(10, -11, -1))
"""What is tried, the strictest first: of equally good thresholds the strictest win."""

Comparison = tuple[float, float]


def choose(catalog: Catalog, items: Sequence[Item]) -> Thresholds:
    """The thresholds with the highest kappa.

    Args:
        catalog: Holds quirks and menu.
        items: Labelled hypotheses. Only those of the half `tune` may be among them.

    Returns:
        The thresholds.

    Raises:
        ValueError: If some item is of the half `test`.
    """
    if any(item.split != "tune" for item in items):
        raise ValueError("thresholds are chosen on the half 'tune' alone")
    label = np.array([item.labelled.label == "correct" for item in items])
    tried = [
        Thresholds(letters=letters, similarity=similarity, margin=margin)
        for letters in LETTERS
        for similarity in SIMILARITIES
        for margin in MARGINS
    ]
    compared = {letters: np.array(_compare(catalog, items, letters)) for letters in LETTERS}
    judged = [
        (compared[each.letters][:, 0] >= each.similarity) & (compared[each.letters][:, 1] >= each.margin)
        for each in tried
    ]
    tables = [
        [(said & label).sum(), (said & ~label).sum(), (~said & label).sum(), (~said & ~label).sum()] for said in judged
    ]
    return tried[int(np.nanargmax(kappas(np.array(tables, float))))]


def measure(catalog: Catalog, items: Sequence[Item], thresholds: Thresholds) -> Measured:
    """How well the judge agrees with labels.

    Args:
        catalog: Holds quirks and menu.
        items: Labelled hypotheses.
        thresholds: What decides.

    Returns:
        The figures, to four digits.
    """
    found = agreement(
        [
            Verdict(item.quirk, item.labelled.category, item.labelled.label == "correct", thresholds.met(*comparison))
            for item, comparison in zip(items, _compare(catalog, items, thresholds.letters), strict=True)
        ]
    )
    kappa = found.kappa
    return Measured(
        kappa=round(kappa.value or 0.0, 4),
        low=round(kappa.low, 4),
        high=round(kappa.high, 4),
        sensitivity=round(found.sensitivity.rate or 0.0, 4),
        specificity=round(found.specificity.rate or 0.0, 4),
        n=kappa.n,
    )


def tuned(catalog: Catalog) -> LexicalFile:
    """Choose the thresholds and measure the judge.

    Args:
        catalog: Holds quirks and menu.

    Returns:
        What belongs into `lexical.yaml`.
    """
    half, other = labelled_set("tune"), labelled_set("test")
    thresholds = choose(catalog, half)
    return LexicalFile(
        thresholds=thresholds,
        tune=measure(catalog, half, thresholds),
        test=measure(catalog, other, thresholds),
        sources_sha256=_sources(catalog, [*half, *other]),
    )


def write(found: LexicalFile, file: Path = FILE, guide: Path = GUIDE) -> None:
    """Write `lexical.yaml`, and its sentence in the guide.

    Args:
        found: What was chosen and measured.
        file: Where it goes.
        guide: The guide, with a place marked for the sentence.
    """
    head = "# Written by `audit-env judge tune`. Thresholds were chosen on one half of the labelled set.\n"
    file.write_text(head + yaml.safe_dump(found.model_dump(), sort_keys=False), encoding="utf-8")
    marked = re.compile(r"(?<=<!-- lexical -->\n).*?(?=<!-- /lexical -->)", re.DOTALL)
    text = guide.read_text(encoding="utf-8")
    guide.write_text(marked.sub(f"{caveat(found.test)}\n", text), encoding="utf-8")


def _compare(catalog: Catalog, items: Iterable[Item], letters: int) -> list[Comparison]:
    menu = catalog.menu().entries
    lexicon = Lexicon(menu, letters)
    return [
        lexicon.compare(
            item.hypothesis, catalog.quirk(item.quirk), [entry.id for entry in menu if entry.id != item.quirk]
        )
        for item in items
    ]


def _sources(catalog: Catalog, items: Sequence[Item]) -> str:
    quirks = [catalog.quirk(quirk) for quirk in sorted({item.quirk for item in items})]
    told = [
        digest(items),
        *(entry.model_dump_json() for entry in catalog.menu().entries),
        *(f"{quirk.definition}\0{quirk.trigger}\0{quirk.rubric.must_contain}" for quirk in quirks),
    ]
    return hashlib.sha256("\0".join(told).encode()).hexdigest()
