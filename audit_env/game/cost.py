"""What audits cost: tokens as logs recorded them, and prices as a list has them."""

import datetime
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from statistics import fmean

import click
import yaml
from inspect_ai.log import EvalLog, EvalSampleSummary, list_eval_logs, read_eval_log, read_eval_log_sample_summaries
from inspect_ai.model import ModelCost, ModelUsage, compute_model_cost, get_model
from pydantic import TypeAdapter, ValidationError

from audit_env.catalog.models import Strict
from audit_env.errors import ParameterError
from audit_env.game.audits import auditor_of
from audit_env.game.record import Affordance, Budget

OWN_PRICES = "INSPECT_EVAL_MODEL_COST_CONFIG"
"""Inspect's own setting: a file with prices."""
NEWEST = 20
"""Logs that are looked at for the line before a run."""

_DATED = re.compile(r"-(?:\d{8}|\d{4}-\d{2}-\d{2})$")
_LOCAL = ("organism/", "none/")
"""Models that run in this process."""


class PriceList(Strict):
    """Prices by the name of the model, in US dollars for a million tokens."""

    as_of: datetime.date | None = None
    sources: tuple[str, ...] = ()
    models: dict[str, ModelCost]

    def of(self, model: str) -> ModelCost | None:
        """The price of a model.

        Args:
            model: Its name; a date at the end does not matter.

        Returns:
            The price, or None where the list has none.
        """
        return self.models.get(model) or self.models.get(_DATED.sub("", model))

    @property
    def age(self) -> str:
        """What must be said beside a cost."""
        return f"Prices of {self.as_of}" if self.as_of else "Prices of your own"


@dataclass(frozen=True)
class Use:
    """What one audit used, by model: the auditor, the grader, and a model that plays the target."""

    affordance: Affordance
    auditor: str
    model: str
    """The auditor's model."""
    tokens: Mapping[str, ModelUsage]

    def cost(self, prices: PriceList, instead: str | None = None) -> float | None:
        """What it cost.

        Args:
            prices: The prices.
            instead: A model whose price the auditor's tokens are given.

        Returns:
            US dollars; None where a price is not known.
        """
        total = 0.0
        for model, usage in self.tokens.items():
            price = prices.of(instead if instead and model == self.model else model)
            if price is None:
                return None
            total += compute_model_cost(price, usage)
        return total


@dataclass(frozen=True)
class Estimate:
    """What audits of one auditor at one level used, an audit, and what more of them would cost."""

    affordance: Affordance
    auditor: str
    audits: int
    """How many were recorded."""
    read: float
    """Input tokens an audit, cached ones included, of all models."""
    cached: float
    """Those of them that came from a cache."""
    written: float
    most: int
    """Tokens of the audit that used most."""
    cost: float | None
    """US dollars an audit."""
    highest: float | None
    """US dollars of the dearest audit."""


def price_list(own: str | Path | None = None) -> PriceList:
    """The prices.

    Args:
        own: A file of one's own, as Inspect's `--model-cost-config` has it; it comes before the one that
            `INSPECT_EVAL_MODEL_COST_CONFIG` names, and both before the list of this package.

    Returns:
        The list.

    Raises:
        ParameterError: If the file cannot be read.
    """
    chosen = own or os.environ.get(OWN_PRICES)
    if not chosen:
        return _shipped()
    try:
        models = TypeAdapter(dict[str, ModelCost]).validate_python(yaml.safe_load(Path(chosen).read_text("utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise ParameterError(
            f"The price file '{chosen}' cannot be read ({str(error).splitlines()[0]}): write for each model a line "
            "such as 'openai/gpt-5: {input: 1.25, output: 10, input_cache_write: 1.25, input_cache_read: 0.125}'."
        ) from error
    return PriceList(models={**_shipped().models, **models})


@cache
def _shipped() -> PriceList:
    text = files("audit_env.game").joinpath("prices.yaml").read_text(encoding="utf-8")
    return PriceList.model_validate(yaml.safe_load(text))


def uses(source: str | Path, newest: int | None = None) -> list[Use]:
    """What the audits of finished games used.

    Args:
        source: A log, or a folder that is searched for logs, subfolders included.
        newest: How many logs to look at, the newest first. Default: all.

    Returns:
        One for each audit in which some model took part, newest log first.

    Raises:
        ParameterError: If there is no such file or folder.
    """
    path = Path(source)
    if not path.exists():
        raise ParameterError(f"'{source}' does not exist: give a log file (.eval or .json) or a folder of logs.")
    names = [str(path)] if path.is_file() else [info.name for info in list_eval_logs(str(path))]
    return [use for name in names[:newest] for use in _uses(name)]


def _uses(name: str) -> Iterable[Use]:
    try:
        header = read_eval_log(name, header_only=True)
        summaries = read_eval_log_sample_summaries(name)
    except (ValueError, OSError, KeyError):
        return []
    found = [_use(header, summary) for summary in summaries if "affordance" in summary.metadata]
    return [use for use in found if use.tokens]


def _use(header: EvalLog, summary: EvalSampleSummary) -> Use:
    return Use(
        affordance=str(summary.metadata["affordance"]),
        auditor=auditor_of(header),
        model=header.eval.model,
        tokens={model: usage for model, usage in summary.model_usage.items() if not model.startswith(_LOCAL)},
    )


def estimates(recorded: Sequence[Use], prices: PriceList, instead: str | None = None) -> list[Estimate]:
    """What audits used and cost, by level of access and auditor.

    Args:
        recorded: What audits used.
        prices: The prices.
        instead: A model whose price the auditors' tokens are given.

    Returns:
        One for each level and auditor, by name.
    """
    groups: dict[tuple[str, str], list[Use]] = {}
    for use in recorded:
        groups.setdefault((use.affordance, use.auditor), []).append(use)
    return [
        _estimate(affordance, auditor, groups[affordance, auditor], prices, instead)
        for affordance, auditor in sorted(groups)
    ]


def _estimate(affordance: str, auditor: str, group: Sequence[Use], prices: PriceList, instead: str | None) -> Estimate:
    every = [list(use.tokens.values()) for use in group]
    costs = [cost for use in group if (cost := use.cost(prices, instead)) is not None]
    known = len(costs) == len(group)
    return Estimate(
        affordance=affordance,
        auditor=auditor,
        audits=len(group),
        read=fmean(sum(_read(usage) for usage in audit) for audit in every),
        cached=fmean(sum(usage.input_tokens_cache_read or 0 for usage in audit) for audit in every),
        written=fmean(sum(usage.output_tokens for usage in audit) for audit in every),
        most=max(sum(_read(usage) + usage.output_tokens for usage in audit) for audit in every),
        cost=fmean(costs) if known else None,
        highest=max(costs) if known else None,
    )


def _read(usage: ModelUsage) -> int:
    return usage.input_tokens + (usage.input_tokens_cache_read or 0) + (usage.input_tokens_cache_write or 0)


def before_a_run(model: str, audits: Mapping[Affordance, int], budgets: Mapping[Affordance, Budget]) -> str | None:
    """One line on what a run will cost, for a model whose price is known.

    Args:
        model: The auditor's model.
        audits: How many audits there will be at each level.
        budgets: The budget of each level.

    Returns:
        The line; None where no price is known.
    """
    prices = price_list()
    price = prices.of(model)
    if price is None:
        return None
    logs = os.environ.get("INSPECT_LOG_DIR", "logs")
    recorded = [use for use in uses(logs, NEWEST) if use.model == model] if Path(logs).is_dir() else []
    parts = [
        _foreseen(level, count, [use for use in recorded if use.affordance == level], prices)
        or _bounded(level, count, budgets[level], price)
        for level, count in audits.items()
    ]
    return f"Cost with {model}: {'; '.join(parts)}. {prices.age}; one round; more: audit-env estimate {logs}."


def say_before_a_run(audits: Mapping[Affordance, int], budgets: Mapping[Affordance, Budget]) -> None:
    """Print that line on standard error, for the auditor of the run that is about to begin.

    Args:
        audits: How many audits there will be at each level, in one round.
        budgets: The budget of each level.
    """
    if line := before_a_run(str(get_model()), audits, budgets):
        click.echo(line, err=True)


def _foreseen(level: str, count: int, recorded: Sequence[Use], prices: PriceList) -> str | None:
    costs = [cost for use in recorded if (cost := use.cost(prices)) is not None]
    if not costs:
        return None
    return f"{level} about ${fmean(costs) * count:.2f} for {count} audits (as {len(costs)} recorded ones)"


def _bounded(level: str, count: int, budget: Budget, price: ModelCost) -> str:
    most = budget.auditor_tokens / 1_000_000 * count
    return (
        f"{level} at most ${most * price.input:.2f} if the {budget.auditor_tokens:,} tokens of its budget were all "
        f"read, ${most * price.output:.2f} if written, for {count} audits (none is recorded yet)"
    )
