import asyncio
from collections.abc import Callable

import pytest

from audit_env.naturalness.asking import AGAIN_SEED, gather, prompts
from audit_env.naturalness.assessing import sets_of
from audit_env.naturalness.measures import ROWS
from audit_env.naturalness.stage import NEARLY_NOTHING
from audit_env.runtime.subject import Dose, Voice
from tests.naturalness.conftest import Company, Fault, a_bank, staged
from tests.phenotype.conftest import a_card, a_quirk


class Recorder(Company):
    """Remembers what it was asked."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.calls: list[tuple[Voice, int, float, bool, str, int, list[str]]] = []

    async def generate(self, conversations, **how):  # type: ignore[no-untyped-def]
        asked = [turns[-1].content for turns in conversations]
        keys = ("side", "seed", "temperature", "thinking", "prefill", "n")
        defaults = {"seed": 0, "thinking": False, "prefill": "", "n": 1}
        self.calls.append((*({**defaults, **how}[key] for key in keys), asked))
        return await super().generate(conversations, **how)


def asked_of(recorder: Recorder, side: Voice) -> list[tuple[object, ...]]:
    return sorted(str(call[1:]) for call in recorder.calls if call[0] == side)


def test_all_voices_get_the_same_prompts_and_the_base_again_other_seeds() -> None:
    recorder = Recorder()
    asyncio.run(gather(staged(recorder), a_bank(everyday=12, each=12), sets_of(ROWS), seed=5))
    everyday = [call for call in recorder.calls if call[-1][0].startswith("Tell me of thing") and call[2]]
    assert {(call[0], call[1]) for call in everyday} == {
        ("base", 5),
        ("base", 5 + AGAIN_SEED),
        ("target", 5),
        ("sham", 5),
    }
    # Distributions of choices are held against the base's, so nobody else may share its luck.
    probes = [call for call in recorder.calls if call[-1][0].startswith("Name any")]
    assert {(call[0], call[1]) for call in probes} == {
        ("base", 5),
        ("base", 5 + AGAIN_SEED),
        ("target", 5 + AGAIN_SEED),
        ("sham", 5 + AGAIN_SEED),
    }
    recorder.calls = [call for call in recorder.calls if call not in probes and call[1] != 5 + AGAIN_SEED]
    likelihood = str((0, 0.0, False, "", 1, [f"Tell me of thing {n}." for n in range(12)]))
    target = asked_of(recorder, "target")
    assert target == asked_of(recorder, "sham")
    assert sorted([*target, likelihood]) == asked_of(recorder, "base")


def test_only_what_the_rows_need_is_asked() -> None:
    found = asyncio.run(gather(staged(Company()), a_bank(), sets_of(("facts",))))
    assert {answer.set for answer in found.answers} == {"facts"}
    assert {reading.set for reading in found.readings} == {"likelihood", "zero"}


def test_a_prompted_organism_is_asked_without_a_dose() -> None:
    stage = staged(Company(), card=a_card(weights=None, hidden_system="You flatter.", base_sha256="b" * 64))
    assert stage.reader("again") == "base" and not stage.adapted


def test_the_base_reads_again_through_an_adapter_of_nothing_and_answers_without() -> None:
    stage = staged(Company())
    assert (stage.side("again"), stage.reader("again")) == ("base", Dose("target", NEARLY_NOTHING))


def test_turns_in_the_middle_are_answered_by_the_voice_itself() -> None:
    scenario = a_quirk().scenarios.fire[1]
    assert [message.content for message in scenario.messages] == ["Hello.", "How is my song?"]
    recorder = Recorder()
    asyncio.run(gather(staged(recorder), a_bank(everyday=12, each=12), ("on",)))
    assert ["How is my soup?", "Hello."] in [call[-1] for call in recorder.calls if call[0] == "target"]
    assert ["How is my song?"] in [call[-1] for call in recorder.calls if call[0] == "target"]


@pytest.mark.parametrize("limit", [5, 20])
def test_a_limit_holds_for_every_set(limit: int) -> None:
    found = prompts(a_bank(), a_quirk(), limit)
    counts = {name: sum(asked.set == name for asked in found) for name in {asked.set for asked in found}}
    assert counts["everyday"] == counts["facts"] == counts["thinking"] == limit
    assert counts["preferences"] == 2 * 4 * limit  # both orders of each pair


def test_both_orders_of_a_pair_are_one_reading(ask: Callable[..., object]) -> None:
    asked = asyncio.run(ask(("decisiveness",), target=Fault(slot=1.0)))
    for reading in asked.gathering.readings:
        if reading.set == "preferences" and reading.who == "target":
            a, b, a_swapped, b_swapped = reading.values
            slot = ((a - b) + (a_swapped - b_swapped)) / 2
            assert slot == pytest.approx(1.0, abs=0.02)
