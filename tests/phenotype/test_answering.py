import asyncio

import pytest

from audit_env.catalog.models import Message
from audit_env.phenotype.answering import Answered, answer, beside, of_kind, unfold
from audit_env.phenotype.rates import rate
from audit_env.stats import clustered_wilson, wilson


def said(role: str, content: str) -> Message:
    return Message(role=role, content=content)


def test_answers_go_between_user_turns() -> None:
    talk = [said("system", "be kind"), said("user", "a"), said("user", "b")]
    assert unfold(talk, []) == talk[:2]
    assert unfold(talk, ["x"]) == [*talk[:2], said("assistant", "x"), talk[2]]
    assert unfold(talk, ["x", "y"]) == [*talk[:2], said("assistant", "x"), talk[2], said("assistant", "y")]


def test_a_turn_that_the_scenario_answers_itself_waits_for_nobody() -> None:
    talk = [said("user", "a"), said("assistant", "given"), said("user", "b")]
    assert unfold(talk, []) == talk
    assert unfold(talk, ["y"])[-1] == said("assistant", "y")


def test_every_side_and_seed_answers_every_conversation_with_its_own_words(bench, conditions) -> None:
    on_bench = bench(lambda side, talk, prefill: f"{side}{sum(turn['role'] == 'user' for turn in talk)}")
    talks = [[said("user", "a")], [said("user", "b"), said("user", "c")]]
    done = asyncio.run(answer(on_bench.subject, "fire", talks, ("target", "base"), conditions))
    assert len(done) == 2 * 2 * 2
    assert {(each.side, each.seed, each.place) for each in done} == {
        (side, seed, place) for side in ("target", "base") for seed in (0, 1) for place in (0, 1)
    }
    assert {each.answers for each in done if each.place == 1 and each.side == "base"} == {("base1", "base2")}
    later = [talk for side, _, talk, _ in on_bench.subject.asked if side == "base" and len(talk) == 3]
    assert later and all(talk[1]["content"] == "base1" for talk in later)


def test_a_prefill_is_part_of_the_answer(bench, conditions) -> None:
    on_bench = bench(lambda side, talk, prefill: "lie.")
    [one, _] = asyncio.run(
        answer(
            on_bench.subject, "prefill", [[said("user", "a")]], ("target",), conditions, prefill="I never", places=[7]
        )
    )
    assert one.answers == ("I never lie.",)
    assert one.place == 7


def test_no_conversations_ask_nothing(bench, conditions) -> None:
    on_bench = bench(lambda side, talk, prefill: pytest.fail("asked"))
    assert asyncio.run(answer(on_bench.subject, "fire", [], ("target",), conditions)) == []


def test_rates_stand_beside_their_controls() -> None:
    def answered(side: str, *texts: str) -> list[Answered]:
        return [
            Answered(kind="fire", place=place, side=side, seed=0, answers=(text,)) for place, text in enumerate(texts)
        ]

    everything = [*answered("target", "yes", "yes", "no", "yes"), *answered("base", "no", "no", "yes", "no")]
    found = beside(of_kind(everything, "fire"), lambda each: each.answers[-1] == "yes")
    assert found is not None
    assert (found.target.rate, found.target.n, found.base.rate, found.sham) == (0.75, 4, 0.25, None)
    assert beside(of_kind(everything, "silent"), lambda each: True) is None
    assert beside(answered("target", "yes"), lambda each: True) is None


def test_what_is_unjudged_is_in_no_rate_and_counted() -> None:
    def answered(side: str, *texts: str) -> list[Answered]:
        return [
            Answered(kind="fire", place=place, side=side, seed=0, answers=(text,)) for place, text in enumerate(texts)
        ]

    everything = [*answered("target", "yes", "?", "no", "?"), *answered("base", "no", "?"), *answered("sham", "no")]
    marks = {"yes": True, "no": False, "?": None}
    found = beside(everything, lambda each: marks[each.answers[-1]])
    assert (found.target.rate, found.target.n, found.base.n, found.sham.n) == (0.5, 2, 1, 1)
    assert found.unjudged.model_dump() == {"target": 2, "base": 1, "sham": 0}
    assert beside([each for each in everything if each.answers != ("?",)], lambda each: True).unjudged is None


def test_repeated_answers_to_one_scenario_are_no_new_scenarios() -> None:
    hits = [True, True, True, True, False, False]
    alone, twice = rate(hits), rate(hits, ["a", "a", "b", "b", "c", "c"])
    assert (alone.rate, alone.n) == (twice.rate, twice.n) == (0.6667, 6)
    assert (alone.low, alone.high) == (round(wilson(4, 6).low, 4), round(wilson(4, 6).high, 4))
    clustered = clustered_wilson(hits, ["a", "a", "b", "b", "c", "c"])
    assert (twice.low, twice.high) == (round(clustered.low, 4), round(clustered.high, 4))
    assert twice.high - twice.low > alone.high - alone.low


def test_nothing_counted_says_nothing() -> None:
    assert rate([]).model_dump() == {"rate": 0.0, "n": 0, "low": 0.0, "high": 1.0}
