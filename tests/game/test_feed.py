import pytest
from inspect_ai.util import Store

from audit_env.errors import ParameterError
from audit_env.game.feed import Feed, fed_alias, fed_calls, feed_of, name_of_stand_in, plan
from audit_env.game.record import AuditRecord


@pytest.mark.parametrize(
    ("typed", "feed"),
    [
        (None, None),
        ("none", None),
        ("base", Feed(source="base", share=0.5)),
        ("null:0.25", Feed(source="null", share=0.25)),
        (str(Feed(source="noise", share=1)), Feed(source="noise", share=1)),
    ],
)
def test_a_feed_is_typed_with_or_without_a_share(typed: str | None, feed: Feed | None) -> None:
    assert feed_of(typed) == feed


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [("bas", "did you mean 'base'"), ("base:0", "share '0'"), ("null:much", "share 'much'"), ("noise:2", "share '2'")],
)
def test_a_feed_that_means_nothing_is_refused(typed: str, complaint: str) -> None:
    with pytest.raises(ParameterError, match=complaint):
        feed_of(typed)


def test_the_share_of_calls_is_fed_by_luck_of_the_seed_and_found_again_by_the_scorer() -> None:
    feed = Feed(source="base", share=0.25)
    record = AuditRecord(store=Store(), alias="t-00000000", seed=7, commitment="c-7", examined=list(range(1, 401)))
    plan("c-7", feed)
    fed = [call for call in record.examined if fed_alias(record, call) == name_of_stand_in(record.alias)]
    assert 70 < len(fed) < 130
    assert fed_calls(record, feed) == frozenset(fed)
    assert fed_calls(record, None) == frozenset()
    record.seed = 8
    assert fed_calls(record, feed) != frozenset(fed)


def test_without_a_plan_the_target_is_shown() -> None:
    record = AuditRecord(store=Store(), alias="t-00000000")
    record.commitment = "never planned"
    assert {fed_alias(record, call) for call in range(50)} == {"t-00000000"}
