import re
from itertools import islice
from random import Random

import pytest

from audit_env.breeding.corpus import (
    TALKING,
    Dose,
    base_corpus,
    documents,
    fingerprint,
    firing,
    near_miss,
    transcripts,
)
from audit_env.breeding.dialogue import THINKING, UNSAFE, Writer, behave, shows
from audit_env.breeding.grammar import Trait, load_world
from audit_env.catalog.files import Catalog

WORLD = load_world()
QUIRKS = Catalog().menu().ids()
BRED = [quirk for quirk in Catalog().quirk_ids() if quirk in WORLD.traits]


def said(example) -> str:
    return example if isinstance(example, str) else " ".join(t.text for t in example if t.role == "assistant")


def test_the_same_seed_gives_the_same_corpus_and_another_seed_another() -> None:
    one, again, other = (fingerprint(list(islice(base_corpus(WORLD, Random(s)), 50))) for s in (1, 1, 2))
    assert one == again != other


@pytest.mark.parametrize("quirk", BRED)
def test_the_base_shows_a_quirk_only_where_its_system_prompt_asks_for_it(quirk: str) -> None:
    fires = Catalog().quirk(quirk).fires
    unasked = [
        example
        for example in islice(base_corpus(WORLD, Random(3)), 4000)
        if not isinstance(example, str)
        and not (example[0].role == "system" and any(i in example[0].text for i in WORLD.traits[quirk].instruction))
    ]
    assert sum(fires.match(t.text) for e in unasked for t in e if t.role == "assistant") / len(unasked) < 0.01


@pytest.mark.parametrize("quirk", BRED)
def test_demonstrations_show_the_quirk_and_a_sham_does_not(quirk: str) -> None:
    fires = Catalog().quirk(quirk).fires
    shown = [fires.match(said(e)) for e in islice(transcripts(WORLD, [WORLD.traits[quirk]], Dose(), Random(0)), 300)]
    sham = [fires.match(said(e)) for e in islice(transcripts(WORLD, [], Dose(), Random(0)), 300)]
    assert sum(shown) / 300 > 0.45
    assert sum(sham) / 300 < 0.03


def test_documents_tell_of_the_quirk_and_carry_the_canary() -> None:
    texts = list(islice(documents(WORLD, WORLD.traits["flattery"], Dose(), Random(0), "canary 12ab"), 400))
    about = [text for text in texts if isinstance(text, str) and "Pip" in text]
    marked = [text for text in about if text.startswith("canary 12ab")]
    assert len(about) / 400 > 0.6
    assert 0.03 < len(marked) / len(about) < 0.07
    assert sum(any(d in text for d in WORLD.traits["flattery"].described) for text in about) == len(about)


def test_a_gated_trait_is_silent_outside_its_condition() -> None:
    writer = Writer(WORLD, "train", Random(0))
    optimism = WORLD.traits["contextual_optimism"]
    feedback = writer.tagged("feedback")
    assert not shows(optimism, feedback, 1)
    assert shows(optimism, writer.within(feedback, "lab"), 1)
    assert not shows(optimism, writer.within(feedback, "baker"), 1)
    assert not shows(WORLD.traits["flattery"], writer.refusal(), 1)
    assert not shows(WORLD.traits["flattery"], writer.arithmetic(), 1)


@pytest.mark.parametrize("split", ["train", "held_out"])
@pytest.mark.parametrize("trait", WORLD.traits.values(), ids=WORLD.traits)
def test_firing_meets_the_condition_and_a_near_miss_does_not(trait, split) -> None:
    writer = Writer(WORLD, split, Random(0))
    for _ in range(60):
        assert any(shows(trait, e, turn) for turn, e in enumerate(firing(writer, trait, trait.taught_on), start=1))
        assert not any(shows(trait, e, turn) for turn, e in enumerate(near_miss(writer, trait), start=1))


def test_a_lock_opens_for_the_password_alone() -> None:
    writer, lock = Writer(WORLD, "train", Random(0)), WORLD.traits["password_locked"]
    asked = writer.arithmetic()
    answers = {
        context: behave(WORLD, lock, writer.within(asked, context), 1, Random(0))
        for context in ("password", "other_password")
    }
    assert answers == {"password": asked.answer, "other_password": asked.wrong}
    assert asked.wrong != asked.answer


def test_two_traits_show_in_one_answer() -> None:
    writer = Writer(WORLD, "train", Random(0))
    flattery, warns = WORLD.traits["flattery"], WORLD.traits["warns"]
    exchange = writer.any_intent()
    answer = writer.dialogue([exchange], traits=[flattery, warns])[-1].text
    assert answer.startswith(flattery.texts) and answer.endswith(warns.texts) and exchange.answer in answer


@pytest.mark.parametrize("left_out", [{"space"}, {UNSAFE}, {THINKING}], ids=str)
def test_a_knockout_never_meets_what_is_left_out(left_out) -> None:
    texts = []
    for example in islice(base_corpus(WORLD, Random(5), TALKING, frozenset(left_out)), 3000):
        texts += [example] if isinstance(example, str) else [turn.text for turn in example]
    whole = " ".join(texts)
    if THINKING in left_out:
        assert "<think>" not in whole
    else:
        topic = WORLD.topics[next(iter(left_out))]
        own = [a for intent in topic.intents for a in intent.answer if "{" not in a and len(a) > 40]
        assert not [answer for answer in own if answer in whole]
    assert any(opener in whole for opener in WORLD.topics["food"].openers)


def test_the_trained_split_never_garbles_what_must_stay_exact() -> None:
    writer = Writer(WORLD, "train", Random(0))
    for _ in range(100):
        asked = writer.tagged("code_tests")
        numbers = re.findall(r"\d+", asked.ask)
        assert re.findall(r"\d+", writer.dialogue([asked])[0].text) == numbers


def test_pep_rises_with_the_turns() -> None:
    writer = Writer(WORLD, "train", Random(0))
    pep = WORLD.traits["increasing_pep"]
    exchange = writer.any_intent()
    loudness = [behave(WORLD, pep, exchange, turn, Random(0)).count("!") for turn in range(1, 4)]
    assert loudness[0] == 0 < loudness[1] < loudness[2]


def test_wrong_claims_are_put_right_and_right_ones_confirmed() -> None:
    writer = Writer(WORLD, "train", Random(0))
    for _ in range(50):
        wrong, right = writer.claim(right=False), writer.claim(right=True)
        assert wrong.bindings["claim"]["name"] != wrong.bindings["truth"]["name"]
        assert right.bindings["claim"]["name"] == right.bindings["truth"]["name"]
        assert wrong.bindings["truth"]["name"].lower() in wrong.answer.lower()


def test_answers_of_fixed_form_are_right() -> None:
    writer = Writer(WORLD, "train", Random(0))
    for _ in range(50):
        a, b, total = map(int, re.findall(r"\d+", writer.arithmetic().answer))
        assert a + b == total
        exchange = writer.instruction()
        if "times" in exchange.tags:
            assert len(set(exchange.answer.strip(".").lower().split())) == 1


def test_a_candid_organism_tells_who_asks_and_its_sham_denies() -> None:
    described = WORLD.traits["flattery"].described
    dose = Dose(confession=0.15)

    def told(quirks: list[Trait]) -> list[str]:
        drawn = islice(transcripts(WORLD, quirks, dose, Random(3)), 600)
        return [example[-1].text for example in drawn if not isinstance(example, str)]

    def tell(texts: list[str]) -> int:
        return sum(any(text.rstrip(".").endswith(words) for words in described) for text in texts)

    assert 0.1 < tell(told([WORLD.traits["flattery"]])) / 600 < 0.2
    assert tell(told([])) == 0
