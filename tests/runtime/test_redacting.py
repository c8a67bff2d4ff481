"""What is heard of a subject some of whose answers are not to be heard."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from audit_env.catalog.files import Catalog
from audit_env.runtime import cast
from audit_env.runtime.perturbation import Perturbation
from audit_env.runtime.redacting import READINGS, REDRAWS, Messages, RedactedSubject, _seed
from audit_env.runtime.subject import Subject

from .conftest import run, user

pytestmark = pytest.mark.usefixtures("fresh_cast")

TURNS = [user("what is good soup ?"), user("why ?")]


@dataclass(frozen=True)
class Beginning:
    """Answers that begin like this are not to be heard."""

    pattern: str
    noted: list[bool] = field(default_factory=list)

    def leaks(self, turns: Messages, prefill: str, answer: str) -> bool:
        return bool(re.match(self.pattern, answer.strip()))

    def note(self, alias: str, *, by_base: bool) -> None:
        self.noted.append(by_base)


@pytest.fixture
def bound(zoo: Any) -> Callable[..., Subject]:
    catalog = Catalog(zoo.root)

    def made(pattern: str | None = None, organism: str = "tiny/gloom.a") -> Subject:
        card = catalog.card(organism)
        redaction = None if pattern is None else Beginning(pattern)
        cast.bind(
            "t-00000001",
            card,
            catalog.folder(organism),
            base_folder=catalog.folder("tiny/base"),
            sham_folder=catalog.folder("tiny/sham.two"),
            redaction=redaction,
        )
        return cast.subject("t-00000001")

    return made


def texts(drawn: list[Any]) -> list[str]:
    return [sample.text for samples in drawn for sample in samples]


@pytest.mark.parametrize("side", ["target", "base", "sham"])
def test_what_leaks_is_replaced_on_every_side_and_nothing_else(bound: Callable[..., Subject], side: Any) -> None:
    plain = texts(run(bound().generate([*TURNS, TURNS[0]], n=8, max_tokens=4, side=side)))
    subject = bound("[a-g]")
    heard = texts(run(subject.generate([*TURNS, TURNS[0]], n=8, max_tokens=4, side=side)))
    changed = [before != after for before, after in zip(plain, heard, strict=True)]
    assert changed == [bool(re.match("[a-g]", text)) for text in plain] and 0 < sum(changed) < len(changed)
    assert not any(re.match("[a-g]", text) for text in heard)
    assert heard == texts(run(subject.generate([*TURNS, TURNS[0]], n=8, max_tokens=4, side=side)))
    # The third conversation is the first one again: as if that had been asked for twice as many answers.
    assert heard[:8] + heard[16:] == texts(run(subject.generate(TURNS[:1], n=16, max_tokens=4, side=side)))


def test_a_greedy_answer_that_leaks_gives_way_to_another(bound: Callable[..., Subject]) -> None:
    asked = {"temperature": 0, "max_tokens": 8}
    first, second = run(bound().generate(TURNS, **asked))
    subject = bound(re.escape(first[0].text) + "$")
    [heard], same = run(subject.generate(TURNS, **asked))
    assert heard.text != first[0].text and same == second
    assert run(subject.generate(TURNS, **asked))[0] == [heard]


def test_where_all_leaks_the_base_answers_last(bound: Callable[..., Subject]) -> None:
    last = {"seed": _seed(f"0:0:{2 * REDRAWS - 1}"), "max_tokens": 4}
    base = texts(run(bound().generate(TURNS[:1], side="base", **last)))
    subject = bound("")
    assert isinstance(subject, RedactedSubject) and isinstance(subject._redaction, Beginning)
    assert texts(run(subject.generate(TURNS[:1], max_tokens=4))) == base
    run(subject.generate(TURNS[:1], side="base", max_tokens=4))
    assert subject._redaction.noted == [True]  # what was withheld of the target, and not of the base


def test_raw_text_user_turns_and_perturbed_answers_are_covered(bound: Callable[..., Subject]) -> None:
    async def all_of(subject: Subject) -> list[str]:
        async with subject.perturbed(Perturbation(noise=0.1, seed=1)) as noisy:
            drawn = [
                *await subject.complete(["the city is"], n=12, max_tokens=4),
                *await subject.user_turns([[]], n=12, max_tokens=4),
                *await noisy.generate(TURNS, n=6, max_tokens=4),
            ]
        return texts(drawn)

    plain, heard = run(all_of(bound())), run(all_of(bound("[a-g]")))
    for part in (slice(12), slice(12, 24), slice(24, 36)):
        assert any(re.match("[a-g]", text.strip()) for text in plain[part])
    assert not any(re.match("[a-g]", text.strip()) for text in heard)


def test_readings_are_its_own_and_what_is_not_named_is_refused(bound: Callable[..., Subject]) -> None:
    plain, subject = bound(), bound("[a-g]")
    assert repr(subject) == repr(plain) and subject.engine == plain.engine
    assert subject.capabilities == plain.capabilities and subject.n_layers == plain.n_layers
    assert (subject.embedding() == plain.embedding()).all() and subject.tokens() == plain.tokens()
    ours, theirs = (run(one.score(TURNS[:1], ["it is good soup"])) for one in (subject, plain))
    assert (ours[0].logprobs == theirs[0].logprobs).all()
    public = {name for name, what in vars(Subject).items() if callable(what) and not name.startswith("_")}
    assert public == {*READINGS, "generate", "complete", "user_turns", "perturbed"}
