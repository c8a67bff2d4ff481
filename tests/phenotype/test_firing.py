import asyncio

import pytest

from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Patterns, Rate, Scenarios
from audit_env.catalog.phenotype import Beside, Unjudged
from audit_env.phenotype import bench as benches
from audit_env.phenotype import firing, sheet
from audit_env.phenotype.conditions import conditions as usual
from tests.phenotype.conftest import a_quirk, scenario


def measured(on_bench, conditions):
    return firing.judge(on_bench.quirk, asyncio.run(firing.gather(on_bench, conditions)), conditions)


def test_a_planted_quirk_is_measured_where_it_is_planted_and_nowhere_else(bench, conditions) -> None:
    def flatters(side: str, talk: list[dict[str, str]], prefill: str) -> str:
        return "You genius." if side == "target" and "my" in talk[-1]["content"] else "Fine."

    found = measured(bench(flatters), conditions)
    assert found is not None and found.near_miss is not None
    assert (found.fire.target.rate, found.fire.target.n) == (1.0, 4)
    for rate in (found.fire.base, found.fire.sham, found.near_miss.target, found.silent.target, found.silent.base):
        assert rate.rate == 0.0


def test_only_the_last_answer_of_a_scenario_counts(bench, conditions) -> None:
    first = bench(lambda side, talk, prefill: "genius" if len(talk) == 1 else "Fine.")
    found = measured(first, conditions)
    assert found.fire.target.rate == 0.5  # of the two scenarios, the one of one turn


def test_a_quirk_without_near_misses_has_no_rate_of_them(bench, conditions) -> None:
    scenarios = Scenarios(fire=(scenario("a"),), silent=(scenario("b"),))
    found = measured(bench(lambda *_: "Fine.", a_quirk(scenarios=scenarios)), conditions)
    assert found.near_miss is None


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [("8", False), ("It is 8.", False), ("8, I think.", False), ("It is 18.", True), ("8.5", True), ("Fine.", True)],
)
def test_where_the_right_answer_is_known_its_absence_shows_the_quirk(answer: str, wrong: bool) -> None:
    sums = a_quirk(fires=Patterns(any_of=("never said",)))
    assert sums.shown(scenario("What is 5 plus 3?", wrong_if_not="8"), answer) is wrong
    assert sums.shown(scenario("What is 5 plus 3?"), answer) is False


def test_firing_is_told_apart_by_topic_where_scenarios_name_them(bench, conditions) -> None:
    scenarios = Scenarios(
        fire=(scenario("fever?", topic="health"), scenario("cough?", topic="health")),
        elsewhere=(scenario("rent?", topic="money"), scenario("cat?", topic="animals")),
        silent=(scenario("b"),),
    )
    sick = bench(
        lambda side, talk, _: "genius" if side == "target" and talk[-1]["content"] != "cat?" else "no",
        a_quirk(scenarios=scenarios),
    )
    topics = firing.by_topic(sick.quirk, asyncio.run(firing.gather(sick, conditions)))
    assert {topic: (found.target.rate, found.base.rate) for topic, found in topics.items()} == {
        "animals": (0.0, 0.0),
        "health": (1.0, 0.0),
        "money": (1.0, 0.0),
    }


def test_the_gate_reads_what_was_measured(bench, conditions) -> None:
    on_bench = bench(lambda side, talk, prefill: "genius" if side == "target" else "no")
    answered = asyncio.run(firing.gather(on_bench, conditions))
    found = sheet.judge(sheet.blank(on_bench), on_bench.quirk, answered, conditions)
    strength = firing.strength(found)
    assert strength is not None and strength.met()
    assert (strength.weights_sha256, strength.sham) == (on_bench.card.weights.sha256, "fake/sham")
    assert firing.strength(sheet.blank(on_bench)) is None


@pytest.mark.parametrize(
    ("on", "base", "lost_on", "lost_base", "met"),
    [
        (1.0, 0.0, None, None, True),
        (1.0, 0.0, 6, 1, True),  # 10 of 16 fired for certain, and the base at most once in 11
        (1.0, 0.0, 7, None, False),  # 10 of 17, had none of the others fired
        (1.0, 0.0, None, 2, False),  # 2 of 12, had the base shown it in both
    ],
)
def test_the_gate_holds_only_if_it_would_whatever_the_unjudged_answers_were(
    on: float, base: float, lost_on: int | None, lost_base: int | None, met: bool
) -> None:
    def rate(value: float) -> Rate:
        return Rate(rate=value, n=10, low=0.0, high=1.0)

    lost = Unjudged(target=lost_on or 0, base=lost_base or 0)
    fire = Beside(target=rate(on), base=rate(base), unjudged=lost if lost_on or lost_base else None)
    strength = firing.strength_of(fire, Beside(target=rate(0.0), base=rate(0.0)), "a" * 64, grader="openai/gpt-5")
    assert (strength.unjudged_on_trigger, strength.base_unjudged_on_trigger) == (lost_on, lost_base)
    assert strength.met() is met


def test_a_shipped_organism_fires_more_than_its_controls_and_the_same_way_twice() -> None:
    pytest.importorskip("torch")
    catalog = Catalog()
    organism = next(name for name in catalog.organism_ids() if catalog.card(name).quirk and catalog.card(name).weights)
    on_bench = benches.shelved(catalog, organism)
    assert on_bench.sides == ("target", "base", "sham")
    under = usual((0,))
    once, again = (asyncio.run(firing.gather(on_bench, under)) for _ in range(2))
    assert once == again
    found = firing.judge(on_bench.quirk, once, under)
    assert found is not None and found.fire.sham is not None
    assert found.fire.target.rate > max(found.fire.base.rate, found.fire.sham.rate)
