import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from inspect_ai.model import ModelUsage

from audit_env.cli import main
from audit_env.errors import ParameterError
from audit_env.game.budget import budget_for
from audit_env.game.cost import Use, before_a_run, estimates, price_list, uses

MODEL = "openai/gpt-5"


def use(read: int, written: int, *, model: str = MODEL, cached: int = 0, level: str = "black_box") -> Use:
    total = read + cached + written
    usage = ModelUsage(
        input_tokens=read, output_tokens=written, total_tokens=total, input_tokens_cache_read=cached or None
    )
    return Use(level, model, model, {model: usage})


def test_tokens_and_cost_are_means_by_level_and_auditor() -> None:
    recorded = [use(1_000_000, 100_000), use(3_000_000, 100_000, cached=1_000_000), use(8, 1, level="grey_box")]
    black, grey = estimates(recorded, price_list())
    assert (black.audits, black.read, black.cached, black.written) == (2, 2_500_000, 500_000, 100_000)
    assert black.most == 4_100_000
    assert black.cost == pytest.approx((1.25 + 1.0 + 3.75 + 0.125 + 1.0) / 2)
    assert black.highest == pytest.approx(3.75 + 0.125 + 1.0)
    assert (grey.affordance, grey.audits) == ("grey_box", 1)


def test_the_grader_costs_too_and_a_price_that_is_not_known_leaves_the_tokens() -> None:
    both = Use(
        "black_box", MODEL, MODEL, {**use(1_000_000, 0).tokens, **use(1_000_000, 0, model="openai/gpt-4o").tokens}
    )
    assert both.cost(price_list()) == pytest.approx(1.25 + 2.5)
    assert both.cost(price_list(), instead="anthropic/claude-haiku-4-5") == pytest.approx(1.0 + 2.5)
    [unknown] = estimates([use(10, 1, model="nobody/knows")], price_list())
    assert (unknown.read, unknown.cost, unknown.highest) == (10, None, None)


def test_a_date_at_the_end_of_a_name_does_not_matter_and_a_longer_name_does() -> None:
    listed = price_list()
    assert listed.of("anthropic/claude-sonnet-4-5-20250929") == listed.of("anthropic/claude-sonnet-4-5")
    assert listed.of("openai/gpt-5-2025-08-07") == listed.of("openai/gpt-5")
    assert listed.of("openai/gpt-5-nano") is None
    assert listed.as_of and listed.sources


def test_prices_of_ones_own_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("openai/gpt-5: {input: 2, output: 3, input_cache_write: 2, input_cache_read: 1}", encoding="utf-8")
    assert price_list(own).of(MODEL).input == 2
    assert price_list(own).of("openai/gpt-4o") == price_list().of("openai/gpt-4o")
    monkeypatch.setenv("INSPECT_EVAL_MODEL_COST_CONFIG", str(own))
    assert price_list().of(MODEL).input == 2
    own.write_text("openai/gpt-5: cheap", encoding="utf-8")
    with pytest.raises(ParameterError, match="own.yaml' cannot be read .*write for each model a line"):
        price_list()


def test_logs_are_read_and_the_command_prints_them(stage_log: Path) -> None:
    recorded = uses(stage_log)
    assert recorded and all(set(one.tokens) == {"mockllm/model"} for one in recorded)
    read = sum(one.tokens["mockllm/model"].input_tokens for one in recorded) / len(recorded)
    ran = CliRunner().invoke(main, ["estimate", str(stage_log), "--model", MODEL, "--audits", "1000", "--json"])
    [row] = json.loads(ran.output)["estimates"]
    assert (row["read"], row["planned"]) == (read, 1000)
    assert row["cost"] > 0
    shown = CliRunner().invoke(main, ["estimate", str(stage_log)])
    assert "some price is not known" in shown.output and shown.exit_code == 0


def test_without_audits_by_a_model_there_is_nothing_to_estimate(tmp_path: Path) -> None:
    told = CliRunner().invoke(main, ["estimate", str(tmp_path)])
    assert told.exit_code == 1 and "play a few first" in told.stderr
    assert CliRunner().invoke(main, ["estimate", str(tmp_path / "missing")]).exit_code == 1


def test_the_line_before_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSPECT_LOG_DIR", str(tmp_path))
    budgets = {"black_box": budget_for("black_box")}
    line = before_a_run(MODEL, {"black_box": 4}, budgets)
    assert line and "at most $5.00 if the 1,000,000 tokens of its budget were all read, $40.00 if written" in line
    assert "Prices of 2026" in line
    assert before_a_run("nobody/knows", {"black_box": 4}, budgets) is None
    monkeypatch.setattr("audit_env.game.cost.uses", lambda *_: [use(1_000_000, 0), use(3_000_000, 0)])
    line = before_a_run(MODEL, {"black_box": 4}, budgets)
    assert line and "black_box about $10.00 for 4 audits (as 2 recorded ones)" in line


@pytest.fixture(scope="module")
def stage_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the log of two audits by a mock model, who says what it has read."""
    from inspect_ai import Task, eval
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelOutput, get_model

    folder = tmp_path_factory.mktemp("logs")

    def answer(*_: object) -> ModelOutput:
        output = ModelOutput.from_content("mockllm/model", "hm")
        output.usage = ModelUsage(input_tokens=400, output_tokens=7, total_tokens=407)
        return output

    samples = [Sample(input="Audit it.", metadata={"affordance": "black_box"}) for _ in range(2)]
    eval(
        Task(dataset=samples),
        model=get_model("mockllm/model", custom_outputs=answer),
        log_dir=str(folder),
        display="none",
    )
    return folder
