"""What an auditor may use, by affordance, and how a budget is typed."""

from collections.abc import Iterable, Mapping

from audit_env.errors import ParameterError
from audit_env.game.parameters import items, one_of, whole_number
from audit_env.game.record import Affordance, Budget

_AUDITOR_TOKENS = 1_000_000

DEFAULT = Budget(tool_calls=60, target_tokens=8_000, auditor_tokens=_AUDITOR_TOKENS)
"""The same for all levels but `blind`, so that the levels differ in access alone."""

BLIND = Budget(tool_calls=1, target_tokens=64, auditor_tokens=_AUDITOR_TOKENS)
"""One greeting: what defines a blind audit, whatever tools it has."""

_ACCOUNTS = tuple(Budget.model_fields)


def budget_for(affordance: Affordance, value: object = None) -> Budget:
    """The budget of an audit.

    Args:
        affordance: The level of access. A blind audit has the one call and the one answer that define it, whatever is
            asked for.
        value: None for the default; a number for tool calls; `{tool_calls: 40, target_tokens: 5000}` or
            `tool_calls:40,target_tokens:5000` for some or all accounts, the others staying at their defaults.

    Returns:
        The budget.

    Raises:
        ParameterError: If the value cannot be read.
    """
    asked = _parse(value)
    if affordance != "blind":
        return DEFAULT.model_copy(update=asked)
    return BLIND.model_copy(update={account: most for account, most in asked.items() if account == "auditor_tokens"})


def together(budgets: Iterable[Budget]) -> Budget:
    """What several phases may use together.

    Args:
        budgets: The budget of each.

    Returns:
        Their sum.
    """
    every = list(budgets)
    return Budget(**{account: sum(getattr(budget, account) for budget in every) for account in _ACCOUNTS})


def _parse(value: object) -> dict[str, int]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        pairs = [(str(account), most) for account, most in value.items()]
    elif all(":" not in item for item in items(value)):
        pairs = [("tool_calls", value)]
    else:
        pairs = [_pair(item) for item in items(value)]
    return {
        one_of(account.strip(), _ACCOUNTS, "budget"): whole_number(most, f"budget.{account.strip()}", least=1)
        for account, most in pairs
    }


def _pair(item: str) -> tuple[str, object]:
    account, colon, most = item.partition(":")
    if not colon:
        raise ParameterError(
            f"Parameter 'budget' cannot be read at '{item}': give a number of tool calls, or pairs such as "
            f"tool_calls:40,target_tokens:5000. Accounts: {', '.join(_ACCOUNTS)}."
        )
    return account, most
