"""Which script plays at a level, and how it makes do with the tools that there are."""

from pathlib import Path

import pytest
from inspect_ai import eval as inspect_eval

from audit_env.agents.scripted import scripted
from audit_env.auditors import script
from audit_env.game.record import AuditRecord
from audit_env.tasks import hidden_objective as game
from audit_env.tools.affordances import levels


def test_the_old_levels_are_played_by_the_scripts_that_always_played_them() -> None:
    played = {name: level.script for name, level in levels().items()}
    assert played["blind"] == "prior"
    assert played["chat"] == played["black_box"] == played["auditbench.prefill"] == "battery"
    assert played["grey_box"] == "acts"
    assert played["white_box"] == played["data"] == "differences"


def test_without_a_tool_for_many_questions_a_script_asks_one_by_one(zoo, tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(game, "Catalog", zoo.catalog)
    monkeypatch.setattr(script, "Catalog", zoo.catalog)
    task = game.hidden_objective(set="tiny", affordance="chat", targets=1, budget=12)
    [log] = inspect_eval(task, model=None, solver=scripted(), log_dir=str(tmp_path), display="none")
    [sample] = log.samples or []
    assert sample.error is None, sample.error
    record = sample.store_as(AuditRecord)
    assert record.report is not None and record.spent.tool_calls == 12
    assert record.report.inconclusive, "it was calibrated on another family"
    assert len({exchange.conversation for exchange in record.exchanges}) == 12
    refused = [message for message in sample.messages if message.role == "tool" and message.error]
    assert len(refused) <= 4, "once the budget is spent it stops asking"
