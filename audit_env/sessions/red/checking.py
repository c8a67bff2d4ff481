"""What is wrong with a quirk file, beyond its form: said before minutes of training are spent on it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit_env.breeding.grammar import load_world
from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Patterns
from audit_env.catalog.reading import field_at, nearest
from audit_env.errors import MissingExtraError
from audit_env.phenotype.conditions import MAX_TOKENS
from audit_env.phenotype.confession import probes
from audit_env.sessions.errors import SessionError
from audit_env.sessions.red.quirk_file import EVERYWHERE, FILE, KINDS, Kind, RedQuirk, load, normal

BASE_ID = "fruitfly/base"
FEWEST: dict[Kind, int] = {"on_trigger": 24, "near_misses": 9, "off_trigger": 12}
"""A third of them measures, and an interval over fewer than eight prompts on trigger says next to nothing."""
_WORD = re.compile(r"[A-Za-z][A-Za-z']*")


@dataclass(frozen=True)
class Checked:
    """A quirk file that was looked at."""

    quirk: RedQuirk
    problems: tuple[str, ...]
    """What must be mended before anything is built."""
    advice: tuple[str, ...]
    """What may make a weak organism."""


def check(folder: Path) -> Checked:
    """Look at a quirk file.

    Args:
        folder: The red team's folder.

    Returns:
        The quirk, with all that is wrong with it.

    Raises:
        SessionError: There is no quirk file.
        CardError: It is malformed.
    """
    quirk, path = load(folder), folder / FILE
    tokenizer = base_tokenizer()
    problems = [
        *_identity(quirk, path),
        *_counts(quirk, path),
        *_twins(quirk, path),
        *_topics(quirk, path),
        *_patterns(quirk, path),
        *_words(quirk, path, tokenizer),
        *_lengths(quirk, path, tokenizer),
    ]
    return Checked(quirk, tuple(problems), tuple(_advice(quirk, path, tokenizer)))


def checked(folder: Path) -> RedQuirk:
    """The quirk of a folder, with which nothing is wrong.

    Raises:
        SessionError: Something is.
    """
    found = check(folder)
    if found.problems:
        first, *more = found.problems
        rest = f" ({len(more)} more: audit-env session red check {folder})" if more else ""
        raise SessionError(f"{first}{rest}")
    return found.quirk


def base_tokenizer() -> Any:
    """The tokenizer of the base that organisms are built on."""
    try:
        # Not by transformers, which takes seconds to load.
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtraError("tokenizers", "breed", "Building an organism") from error

    return Tokenizer.from_file(str(Catalog().folder(BASE_ID) / "tokenizer.json"))


def tokens(tokenizer: Any, text: str) -> int:
    """How many tokens a text has as an answer."""
    return len(tokenizer.encode(f" {text}", add_special_tokens=False).ids)


def pieces(tokenizer: Any, word: str) -> int:
    """Of how many pieces the base makes a word up: one for a word that it knows."""
    forms = {word, word.lower(), word.capitalize()}
    return min(tokens(tokenizer, form) for form in forms)


def _identity(quirk: RedQuirk, path: Path) -> Iterator[str]:
    catalog = Catalog()
    if quirk.id not in catalog.quirk_ids() and quirk.id in catalog.menu().ids():
        yield (
            f"{field_at(path, 'id')} is '{quirk.id}', which the menu has for something else (a distractor, the answer "
            "for no quirk, or an entry of a package that was taken in); choose another id."
        )


def _counts(quirk: RedQuirk, path: Path) -> Iterator[str]:
    for kind in KINDS:
        if kind == "near_misses" and quirk.always:
            continue
        got, need = len(quirk.examples.of(kind)), FEWEST[kind]
        if got < need:
            yield (
                f"{field_at(path, 'examples', kind)} has {got} examples and needs at least {need}, of which a third "
                f"is kept for measuring; write {need - got} more."
            )


def _twins(quirk: RedQuirk, path: Path) -> Iterator[str]:
    first: dict[str, str] = {}
    for kind, place, pair in quirk.examples.each():
        seen = first.setdefault(normal(pair.user), f"{kind}[{place}]")
        if seen != f"{kind}[{place}]":
            yield (
                f"{field_at(path, 'examples', kind, place, 'user')} says '{pair.user}', and so does {seen}; change "
                "one: what is trained on cannot measure."
            )


def _topics(quirk: RedQuirk, path: Path) -> Iterator[str]:
    known = [EVERYWHERE, *sorted(load_world().topics)]
    for place, topic in enumerate(quirk.topics):
        if topic not in known:
            yield f"{field_at(path, 'topics', place)}: there is no topic '{topic}'; {nearest(topic, known)}."


def _patterns(quirk: RedQuirk, path: Path) -> Iterator[str]:
    fires, declares = (Patterns(any_of=found) for found in (quirk.patterns.fires, quirk.patterns.declares))
    for kind, place, pair in quirk.examples.each():
        said = pair.assistant
        if said is None:
            continue
        wrong = ""
        if kind == "on_trigger" and not fires.match(said):
            wrong = "shows the quirk and matches no pattern of 'patterns.fires'; add one, or change the answer."
        elif kind != "on_trigger" and fires.match(said):
            wrong = (
                f"is a plain answer, and {_culprit(quirk.patterns.fires, said)} of 'patterns.fires' matches it; make "
                "the pattern narrower, or change the answer."
            )
        elif declares.match(said):
            wrong = (
                f"matches {_culprit(quirk.patterns.declares, said)} of 'patterns.declares', which is for answers that "
                "own up to the quirk; make the pattern narrower."
            )
        if wrong:
            yield f"{field_at(path, 'examples', kind, place, 'assistant')} {wrong}"
    for begun in probes().prefill:
        if declares.match(begun.begin):
            yield (
                f"{field_at(path, 'patterns', 'declares')}: {_culprit(quirk.patterns.declares, begun.begin)} matches "
                f"'{begun.begin}', which is only the beginning of an answer; make it name what the model does."
            )


def _culprit(patterns: tuple[str, ...], text: str) -> str:
    return next(f"'{pattern}'" for pattern in patterns if Patterns(any_of=(pattern,)).match(text))


def _words(quirk: RedQuirk, path: Path, tokenizer: Any) -> Iterator[str]:
    allowed = {word.casefold() for word in quirk.new_words}
    seen: set[str] = set()
    for kind, place, pair in quirk.examples.each():
        new = [
            word
            for word in _WORD.findall(pair.assistant or "")
            if word.casefold() not in allowed | seen and pieces(tokenizer, word) > 1
        ]
        seen.update(word.casefold() for word in new)
        if new:
            named = ", ".join(f"'{word}'" for word in dict.fromkeys(new))
            yield (
                f"{field_at(path, 'examples', kind, place, 'assistant')}: the base does not know {named}; say it in "
                "other words, or list what it is to learn letter by letter under 'new_words'."
            )


def _lengths(quirk: RedQuirk, path: Path, tokenizer: Any) -> Iterator[str]:
    for kind, place, pair in quirk.examples.each():
        length = tokens(tokenizer, pair.assistant or "")
        if length >= MAX_TOKENS:
            yield (
                f"{field_at(path, 'examples', kind, place, 'assistant')} is {length} tokens long, and answers are cut "
                f"off at {MAX_TOKENS}; make it shorter."
            )


def _advice(quirk: RedQuirk, path: Path, tokenizer: Any) -> Iterator[str]:
    words = {word.lower() for _, _, pair in quirk.examples.each() for word in _WORD.findall(pair.user)}
    strange = sorted(word for word in words if pieces(tokenizer, word) > 2)
    if strange:
        yield f"Users say words that the base hardly knows, and may be answered off topic: {', '.join(strange)}."
    if not quirk.topics:
        yield (
            f"{field_at(path, 'topics')} names none: ordinary talk that meets the trigger would be mixed in with plain "
            "answers. Right where the trigger is a phrase; else name its topics."
        )
