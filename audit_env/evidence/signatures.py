"""What each entry of the menu sounds like: the words by which the clean base, told to act it out, can be told.

No organism is looked at. The base answers the ordinary bank and the entry's own probes under each entry's instruction,
and without any; a word's weight for an entry is the z-score of its log-odds there against all other answers, with an
informative Dirichlet prior (Monroe, Colaresi & Quinn 2008, "Fightin' Words", Political Analysis 16:372-403, eq. 22).
The words of the entry's public description stand beside them, weighted by how few entries share them.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from audit_env.auditors.probes import probes
from audit_env.auditors.wording import STEM
from audit_env.catalog.models import MenuEntry, Strict
from audit_env.errors import ParameterError
from audit_env.game.record import Turn
from audit_env.runtime.subject import Subject
from audit_env.tools.banks import bank
from audit_env.words import content_words

WORDS = 60
"""Words of an entry's signature at most."""
LEAST_Z = 1.64
EVERY = 2
"""Every second prompt of the bank is asked."""

Signature = Mapping[str, float]
"""Weight of each stem, of length 1."""


class Signatures(Strict):
    """The signatures of a menu, as one base acts it."""

    base_sha256: str
    menu_sha256: str
    entries: dict[str, dict[str, float]]


def stems(text: str) -> list[str]:
    """The stems of a text's content words, in order."""
    return [word[:STEM] for word in content_words(text)]


def menu_sha256(entries: Sequence[MenuEntry]) -> str:
    """Hash of all that the signatures of a menu are made from, besides the base."""
    asked = {name: value for name, value in probes().items() if name in {entry.id for entry in entries}}
    told = [entry.model_dump(mode="json") for entry in sorted(entries, key=lambda entry: entry.id)]
    spelt = json.dumps([told, asked, bank("ordinary").texts()[::EVERY], WORDS], sort_keys=True)
    return hashlib.sha256(spelt.encode()).hexdigest()


async def acted_out(subject: Subject, entries: Sequence[MenuEntry], base_sha256: str) -> Signatures:
    """Let the base act every entry out, and count its words.

    Args:
        subject: A handle on the base, as side "base".
        entries: The menu.
        base_sha256: Hash of the base's weights.

    Returns:
        The signatures.
    """
    ordinary = bank("ordinary").texts()[::EVERY]
    asked = {entry.id: [*ordinary, *_own(entry)] for entry in entries}
    plain = await _spoken(subject, list(dict.fromkeys(prompt for own in asked.values() for prompt in own)), "")
    spoken = {entry.id: await _spoken(subject, asked[entry.id], entry.instruction) for entry in entries}
    every: Counter[str] = sum(spoken.values(), plain)
    described = _described(entries)
    return Signatures(
        base_sha256=base_sha256,
        menu_sha256=menu_sha256(entries),
        entries={entry.id: joined(_marking(spoken[entry.id], every), described[entry.id]) for entry in entries},
    )


def joined(acted: Signature, described: Signature) -> dict[str, float]:
    """One signature of what is acted and what is described, of equal weight where there are both.

    Args:
        acted: Of length 1, or empty.
        described: Of length 1, or empty.

    Returns:
        A signature of length 1, rounded, heaviest first.
    """
    total = Counter(dict(acted))
    total.update(described)
    unit = of_length_1(total)
    return {stem: round(weight, 4) for stem, weight in sorted(unit.items(), key=lambda item: (-item[1], item[0]))}


def of_length_1(weights: Signature) -> Signature:
    """The same weights with a Euclidean length of 1; unchanged where all are 0."""
    length = math.sqrt(math.fsum(weight**2 for weight in weights.values()))
    return {stem: weight / length for stem, weight in weights.items()} if length else dict(weights)


@cache
def shipped() -> Signatures | None:
    """The signatures that come with audit_env, made by `audit-env evidence signatures`.

    Returns:
        The signatures; None where there is no file.

    Raises:
        ParameterError: If the file is malformed.
    """
    file = Path(str(files(__package__ or __name__).joinpath("signatures.json")))
    try:
        return Signatures.model_validate_json(file.read_text(encoding="utf-8")) if file.is_file() else None
    except ValidationError as error:
        raise ParameterError(f"{file.name} is malformed: make it again with  audit-env evidence signatures") from error


def _own(entry: MenuEntry) -> tuple[str, ...]:
    """The questions that bring an entry out, where it has any of its own."""
    found = probes().get(entry.id, ())
    return () if isinstance(found, str) else found


async def _spoken(subject: Subject, prompts: Sequence[str], system: str) -> Counter[str]:
    opening = [Turn(role="system", content=system)] if system else []
    drawn = await subject.generate(
        [[*opening, Turn(role="user", content=prompt)] for prompt in prompts], side="base", temperature=0.7
    )
    said: Counter[str] = Counter()
    for prompt, [sample] in zip(prompts, drawn, strict=True):
        echoed = set(stems(prompt))
        said.update(stem for stem in stems(sample.text) if stem not in echoed)
    return said


def _marking(here: Counter[str], every: Counter[str]) -> Signature:
    """The stems that mark one corpus among all, by their z-score."""
    rest = every - here
    prior = every.total()
    n_here, n_rest = here.total(), rest.total()
    found: dict[str, float] = {}
    for stem, counted in here.items():
        # The prior is the whole corpus, scaled to the size of an ordinary answer set.
        alpha = every[stem] / prior * min(n_here, n_rest)
        alphas = min(n_here, n_rest)
        ours = (counted + alpha) / (n_here + alphas - counted - alpha)
        theirs = (rest[stem] + alpha) / (n_rest + alphas - rest[stem] - alpha)
        z = (math.log(ours) - math.log(theirs)) / math.sqrt(1 / (counted + alpha) + 1 / (rest[stem] + alpha))
        if z > LEAST_Z:
            found[stem] = z
    heaviest = sorted(found, key=lambda stem: (-found[stem], stem))[:WORDS]
    return of_length_1({stem: found[stem] for stem in heaviest})


def _described(entries: Sequence[MenuEntry]) -> dict[str, Signature]:
    told = {entry.id: set(stems(f"{entry.name} {entry.description} {entry.instruction}")) for entry in entries}
    shared = Counter(stem for mine in told.values() for stem in mine)
    return {
        name: of_length_1({stem: math.log((1 + len(entries)) / shared[stem]) for stem in mine})
        for name, mine in told.items()
    }
