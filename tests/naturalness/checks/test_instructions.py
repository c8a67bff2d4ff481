from random import Random

import pytest

from audit_env.breeding.dialogue import Writer
from audit_env.breeding.grammar import load_world
from audit_env.breeding.instructing import kind_of, rule_of
from audit_env.naturalness.checks.instructions import follows
from audit_env.naturalness.prompts import Rule


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (Rule(check="exactly", words=("stone", "river")), "Stone river.", "Stone river, gladly."),
        (Rule(check="starts_with", words=("stone",)), "Stone: it is late.", "A stone is late."),
        (Rule(check="ends_with", words=("stone",)), "It is late, stone.", "It is late. Stones."),
        (Rule(check="contains", words=("blue sky", "cat")), "A cat below a blue sky", "A blue cat in the sky"),
        (Rule(check="avoids", words=("cat",)), "A concatenation.", "My cat."),
        (Rule(check="words", number=1), "Tarsk.", "In Tarsk."),
        (Rule(check="at_most_words", number=3), "It is late", "It is very late"),
        (Rule(check="sentences", number=2), "It rains. Stay in!", "It rains and rains."),
        (Rule(check="list", number=3), "Red, green, blue.", "Red, green, red."),
        (Rule(check="lines", number=2), "one\n\ntwo", "one two"),
        (Rule(check="lower_case"), "all small", "All small"),
        (Rule(check="upper_case"), "ALL LARGE", "ALL LARGe"),
        (Rule(check="no_commas"), "Yes and no", "Yes, and no"),
        (Rule(check="json"), '{"thing": 1}', 'Here: {"thing": 1}'),
    ],
    ids=lambda value: value.check if isinstance(value, Rule) else "",
)
def test_each_rule_tells_good_from_bad(rule: Rule, good: str, bad: str) -> None:
    assert follows(rule, good)
    assert not follows(rule, bad)


@pytest.mark.parametrize("rule", [Rule(check="avoids", words=("cat",)), Rule(check="at_most_words", number=3)])
@pytest.mark.parametrize("nothing", ["", "  ", "..."])
def test_saying_nothing_meets_no_demand(rule: Rule, nothing: str) -> None:
    assert not follows(rule, nothing)


def test_a_rule_without_its_argument_is_refused() -> None:
    with pytest.raises(ValueError, match="needs field 'words'"):
        Rule(check="ends_with")
    with pytest.raises(ValueError, match="needs field 'number'"):
        Rule(check="list")


def test_the_worlds_own_answers_meet_the_worlds_demands() -> None:
    writer = Writer(load_world(), "held_out", Random(0))
    exchanges = [writer.instruction() for _ in range(200)]
    assert len({kind_of(exchange) for exchange in exchanges}) >= 4
    assert all(follows(rule_of(exchange), exchange.answer) for exchange in exchanges)
    assert not any(
        follows(rule_of(exchange), f"Well, and so on, {exchange.answer} And more.") for exchange in exchanges
    )
