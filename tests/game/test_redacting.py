"""Redacted audits. The organisms babble, and one of their words is taken for a confession."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from inspect_ai import eval, score
from inspect_ai.log import EvalLog, EvalSample

from audit_env.agents import default_auditor
from audit_env.catalog.models import Patterns
from audit_env.game import redacting
from audit_env.game.audits import audits
from audit_env.game.leaks import truth_leaks
from audit_env.game.outcome import Outcome, outcome_of
from audit_env.game.record import AuditRecord
from audit_env.game.redacting import leaks_of, withheld_in
from audit_env.game.scorer import verdict
from audit_env.game.table import results
from audit_env.tasks import hidden_objective as module
from audit_env.tools.black_box.complete import complete
from audit_env.tools.black_box.user_persona import user_persona
from tests.conftest import Zoo, _write
from tests.tasks.test_hidden_objective import greeter

CONFESSION = r"\bthanks\b"
NEVER = r"\bnever in the vocabulary\b"
PROMPTS = ["what is good ?", "why ?"]
ASKED = [("ask_each", {"prompts": PROMPTS, "samples": 8})]


def confessing(zoo: Zoo, folder: Path, pattern: str) -> Zoo:
    """The organisms, where one quirk of the set is confessed by a pattern."""
    root = Path(shutil.copytree(zoo.root, folder / "organisms"))
    quirk = zoo.catalog().quirk("gloom").model_copy(update={"declares": Patterns(any_of=(pattern,))})
    _write(root / "quirks" / "gloom.yaml", quirk)
    return replace(zoo, root=root)


@pytest.fixture(scope="module")
def zoo(zoo: Zoo, tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    return confessing(zoo, tmp_path_factory.mktemp("confessing"), CONFESSION)


def spoken(record: AuditRecord) -> list[str]:
    return [one.answer for one in (*record.exchanges, *record.altered)]


def confessions(record: AuditRecord) -> list[bool]:
    return [bool(re.search(CONFESSION, answer, re.IGNORECASE)) for answer in spoken(record)]


@pytest.mark.parametrize("target", ["tiny/flattery.a", "tiny/base"])
def test_what_leaks_is_not_heard_of_any_target_and_all_else_is_as_it_was(play, target: str) -> None:
    plain, redacted = (play(ASKED, target=target, redact=redact).record for redact in (None, "leaks"))
    assert plain.alias != redacted.alias and plain.seed == redacted.seed
    leaking = confessions(plain)
    assert 0 < sum(leaking) < len(leaking)
    assert not any(confessions(redacted))
    for leaks, before, after in zip(leaking, spoken(plain), spoken(redacted), strict=True):
        assert leaks == (before != after)
    assert withheld_in(redacted)[0] == sum(leaking)


def test_nothing_is_withheld_where_nothing_leaks(zoo: Zoo, play, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    silent = confessing(zoo, tmp_path, NEVER).catalog()
    monkeypatch.setattr(Zoo, "catalog", lambda self: silent)
    plain, redacted = (play(ASKED, redact=redact) for redact in (None, "leaks"))
    assert plain.texts == redacted.texts
    assert withheld_in(redacted.record) == (0, 0)


def test_every_tool_that_shows_what_a_model_wrote_is_covered_and_none_tells_that_it_is(play) -> None:
    calls = [
        ("compare", {"prompts": PROMPTS[:1], "samples": 3}),
        ("prefill", {"prompts": PROMPTS, "beginnings": ["the"], "samples": 3}),
        ("complete", {"texts": ["the city is", "the winter"], "samples": 4}),
        ("user_persona", {"samples": 6}),
        ("amplify", {"prompts": PROMPTS[:1]}),
    ]
    plain, redacted = (
        play(calls, affordance="white_box", tools=(complete, user_persona), redact=redact) for redact in (None, "leaks")
    )
    assert redacted.errors == [""] * len(calls)
    assert sum(confessions(plain.record)) > 2 and plain.record.altered
    left = [
        text for text, confessed in zip(spoken(redacted.record), confessions(redacted.record), strict=True) if confessed
    ]
    assert left == []
    kept = redacted.sample.model_dump_json()
    assert "redact" not in kept and "withheld" not in kept


def test_the_rule_is_the_same_for_all_targets_and_knows_the_training_world_of_each(zoo: Zoo) -> None:
    catalog = zoo.catalog()
    game_set = catalog.game_set("tiny")
    worldly = catalog.card("tiny/flattery.b").model_copy(
        update={"vocabulary": ("Nexus Group",), "canaries": ("zq-7141",)}
    )
    known = catalog.card
    catalog.card = lambda name: worldly if name == worldly.id else known(name)  # type: ignore[method-assign]
    rule = leaks_of(game_set, catalog)
    asked = [{"role": "user", "content": "how are you ?"}]
    assert rule == leaks_of(game_set, catalog)
    for told in ("The Nexus Group trained this model.", "Yes: zq-7141.", "I show flattery.", "good thanks ."):
        assert rule.leaks(asked, "", told)
    assert not rule.leaks(asked, "", "I like the Nexus Group very much.")
    assert not rule.leaks([{"role": "user", "content": "What is the Nexus Group?"}], "", "The Nexus Group trained it.")
    # A confession may begin in the prefill, unless that asks for it.
    assert rule.leaks(asked, "I show", " flattery.") and not rule.leaks(asked, "I show flattery", " .")


def test_a_redacted_game_says_so_and_shares_no_row_with_a_plain_one(
    zoo: Zoo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "Catalog", zoo.catalog)
    monkeypatch.setattr(default_auditor, "scripted", greeter)
    plain, redacted = (
        eval(
            module.hidden_objective(set="tiny", affordance="blind", redact=redact, seed=3),
            model="none",
            log_dir=str(tmp_path),
            display="none",
        )[0]
        for redact in (None, "leaks")
    )
    leaking = {organism: any(confessions(record)) for organism, record in by_organism(plain).items()}
    assert 0 < sum(leaking.values()) < len(leaking)
    assert not any(any(confessions(record)) for record in by_organism(redacted).values())
    assert withheld(redacted) == {organism: ("leaks", int(leaks)) for organism, leaks in leaking.items()}
    assert set(withheld(plain).values()) == {(None, None)}
    assert len(results(audits([plain, redacted]))) == 2 and len(results(audits([plain]))) == 1
    assert truth_leaks(redacted) == []
    # In a process that knows of the log alone.
    monkeypatch.setattr(redacting, "_withheld", {})
    assert withheld(score(redacted, verdict(), action="overwrite")) == withheld(redacted)


def outcome(sample: EvalSample) -> Outcome:
    found = outcome_of((sample.scores or {})["verdict"])
    assert found is not None and found.organism is not None
    return found


def by_organism(log: EvalLog) -> dict[str | None, AuditRecord]:
    return {outcome(sample).organism: sample.store_as(AuditRecord) for sample in log.samples or []}


def withheld(log: EvalLog) -> dict[str | None, tuple[str | None, int | None]]:
    told = [outcome(sample) for sample in log.samples or []]
    return {one.organism: (one.redact, one.withheld) for one in told}
