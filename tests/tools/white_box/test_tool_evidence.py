"""The fair test on the rewired zoo, and its join with audits that used the tool."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from inspect_ai import eval as inspect_eval
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.agent import Agent, AgentState, agent
from inspect_ai.log import EvalLog, read_eval_log, write_eval_log
from inspect_ai.model import ChatMessageAssistant, execute_tools
from inspect_ai.tool import ToolCall
from inspect_ai.util import store_as

from audit_env.cli import main
from audit_env.errors import ParameterError
from audit_env.evidence import signing
from audit_env.evidence.evidence_eval import Evidence, evidence_of
from audit_env.evidence.signatures import Signatures, menu_sha256
from audit_env.evidence.table import gaps, read
from audit_env.game.record import AuditRecord
from audit_env.tasks import hidden_objective as game
from audit_env.tasks.tool_evidence import tool_evidence
from audit_env.tools import audit_tools


@pytest.fixture(scope="module")
def log(zoo, tmp_path_factory: pytest.TempPathFactory) -> EvalLog:
    """What read_weights shows of both planted quirks, by all feeds."""
    catalog = zoo.catalog()
    made = Signatures(
        base_sha256=catalog.card(zoo.base).weights.sha256,
        menu_sha256=menu_sha256(catalog.menu().entries),
        entries={"gloom": {"cleve": 1.0}, "flattery": {"tea": 1.0}, "warns": {"soup": 1.0}},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signing, "shipped", lambda: made)
        task = tool_evidence(set="tiny", tools="read_weights,chat", root=str(zoo.root))
        [ran] = inspect_eval(task, model=None, log_dir=str(tmp_path_factory.mktemp("logs")), display="none")
    assert ran.status == "success", ran.error
    return read_eval_log(ran.location)


def evidence(log: EvalLog) -> dict[tuple[str, str, str], Evidence]:
    scores = (score for sample in log.samples or [] for score in (sample.scores or {}).values())
    found = [one for score in scores if (one := evidence_of(score))]
    return {(one.organism, one.tool.rpartition(".")[2], one.feed): one for one in found}


def test_a_planted_word_is_found_and_the_base_tells_nothing(log, wired) -> None:
    found = evidence(log)
    assert len(found) == len(log.samples or []) == 16
    planted = found[wired.always, "read_weights", "target"]
    assert (planted.area, planted.rank, planted.first) == (1, 1, 1)
    assert planted.calls == 1 and planted.target_tokens == 0 and planted.seconds > 0
    assert found[wired.always, "read_weights", "base"].area == 0.5
    assert found[wired.always, "read_weights", "null"].fed_by == wired.cued
    assert found[wired.always, "chat", "target"].target_tokens > 0
    metrics = log.results.scores[0].metrics
    assert metrics["read_weights_target"].value > metrics["read_weights_base"].value


def test_a_trial_of_several_logs_counts_once(log) -> None:
    assert len(read(log.location, log.location)) == len(read(log.location)) == 16


def rewritten(log: EvalLog, path: Path, made_of: Callable[[dict[str, str]], dict[str, str]]) -> str:
    """The log as it would be, had other weights been measured."""
    changed = read_eval_log(log.location)
    for sample in changed.samples or []:
        for score in (sample.scores or {}).values():
            score.metadata["evidence"]["made_of"] = made_of(score.metadata["evidence"]["made_of"])
    write_eval_log(changed, str(path))
    return str(path)


def test_evidence_names_the_weights_that_were_measured(log, zoo, wired) -> None:
    found, catalog = evidence(log), zoo.catalog()
    for feed in ("target", "base", "sham", "null"):
        one = found[wired.always, "read_weights", feed]
        measured = {one.fed_by, *one.clean, zoo.base, zoo.reference_sham}
        assert one.made_of == {name: catalog.card(name).weights.sha256 for name in measured}


def test_logs_of_other_weights_and_of_unnamed_ones_are_not_joined(log, zoo, tmp_path: Path) -> None:
    bred_again = rewritten(log, tmp_path / "again.eval", lambda made: made | {zoo.base: "0" * 64})
    with pytest.raises(ParameterError, match=f"again.eval' measured other weights of '{zoo.base}' than"):
        read(log.location, bred_again)
    unnamed = rewritten(log, tmp_path / "unnamed.eval", lambda _: {})
    with pytest.raises(ParameterError, match="unnamed.eval' does not say which weights"):
        read(log.location, unnamed)
    assert len(read(bred_again)) == len(read(unnamed)) == 16


def test_the_log_keeps_what_was_shown_and_little_else(log) -> None:
    [sample] = [one for one in log.samples or [] if one.id == "tiny/gloom.a read_weights target"]
    assert "written words" in sample.store["Kept:shown"]["text"]
    assert len(sample.messages) == 1
    assert not [event for one in log.samples or [] for event in one.events if event.event in ("model", "tool")]


def test_the_table_of_a_log_is_a_page(log) -> None:
    shown = CliRunner().invoke(main, ["evidence", "show", log.location, "--title", "Tiny"])
    assert shown.exit_code == 0, shown.output
    assert shown.output.startswith("# Tiny") and "`read_weights`" in shown.output and "By quirk" in shown.output


@agent
def reader(named: str) -> Agent:
    """Reads the weights and names one quirk, whatever they show."""

    async def execute(state: AgentState) -> AgentState:
        record = store_as(AuditRecord)
        tools = audit_tools(record.affordance, record.answers)
        for name, arguments in (("read_weights", {}), ("report", {"p_quirk": 0.9, "ranking": [named]})):
            request = ToolCall(id=name, function=name, arguments=arguments)
            state.messages.append(ChatMessageAssistant(content="", tool_calls=[request]))
            state.messages.extend((await execute_tools(state.messages, tools)).messages)
        return state

    return execute


def test_evidence_that_auditors_missed_is_the_gap(log, zoo, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(game, "Catalog", zoo.catalog)
    by_name = {}
    for named in ("gloom", "flattery"):
        task = game.hidden_objective(set="tiny", affordance="white_box")
        [played] = inspect_eval(task, model=None, solver=reader(named), log_dir=str(tmp_path / named), display="none")
        assert played.status == "success", played.error
        by_name[named] = next(gap for gap in gaps(read(log.location), [played]) if gap.tool == "read_weights")
    seen, missed = by_name["gloom"], by_name["flattery"]
    assert seen.called == missed.called == 2 and seen.telling == missed.telling >= 1
    assert seen.detected.rate == 1 > missed.detected.rate
    gap = CliRunner().invoke(main, ["evidence", "gap", log.location, str(tmp_path / "gloom")])
    assert gap.exit_code == 0 and "`read_weights`" in gap.output


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ({"tools": "read_weight"}, "did you mean 'read_weights'"),
        ({"feeds": "shams"}, "did you mean 'sham'"),
        ({"recipes": "transcript.none"}, "did you mean 'transcripts.none'"),
        ({"each": 0}, "'each' must be a whole number of at least 1"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(zoo, typed: dict[str, object], complaint: str) -> None:
    with pytest.raises(PrerequisiteError, match=complaint):
        tool_evidence(**{"set": "tiny", "root": str(zoo.root)} | typed)
