"""IFEval's demands, by the checkers of lm-eval: for larger models, to be held against published figures.

Strict, at the level of the prompt: nothing is stripped from an answer, and all of its demands must be met. lm-eval is
imported when a bank holds such a demand, and not before.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from importlib import import_module
from typing import Any

from audit_env.catalog.reading import nearest
from audit_env.errors import ParameterError
from audit_env.naturalness.prompts import Demand

INSTALL = "pip install 'lm-eval[ifeval]' && python -m nltk.downloader punkt_tab"


SPLITS = frozenset(("length_constraints:number_sentences", "change_case:capital_word_frequency"))
"""Demands whose checkers need nltk's splitter of sentences and words."""


def ready(demands: Iterable[Demand]) -> None:
    """See to it that all checkers are here, before anything is asked.

    Args:
        demands: The demands of a bank.

    Raises:
        ParameterError: If lm-eval or its splitter is not installed, or it knows no such demand.
    """
    wanted = {demand.check for demand in demands}
    try:
        unknown = sorted(wanted - _checkers().keys()) if wanted else []
        if wanted & SPLITS:
            import_module("nltk").data.find("tokenizers/punkt_tab")
    except (ImportError, LookupError) as error:
        what = "a package is" if isinstance(error, ImportError) else "nltk's sentence splitter is"
        raise ParameterError(
            f"The bank's field 'demands' needs the checkers of IFEval, and {what} missing; install them with  {INSTALL}"
        ) from error
    if unknown:
        raise ParameterError(
            f"The bank's field 'demands' names '{unknown[0]}', which lm-eval cannot check; "
            f"{nearest(unknown[0], _checkers())}."
        )


def meets(demands: Sequence[Demand], prompt: str, text: str) -> bool:
    """Whether an answer meets all demands of a prompt.

    Args:
        demands: The demands.
        prompt: The prompt, which some of them ask to be repeated.
        text: The answer, without its thoughts.

    Returns:
        Whether it does; an empty answer never.
    """
    return bool(text.strip()) and all(_checker(demand, prompt).check_following(text) for demand in demands)


@cache
def _checkers() -> dict[str, Any]:
    """Classes of lm-eval, by the names of demands."""
    registry = import_module("lm_eval.tasks.ifeval.instructions_registry")
    import_module("langdetect").DetectorFactory.seed = 0  # it guesses at random otherwise
    return dict(registry.INSTRUCTION_DICT)


def _checker(demand: Demand, prompt: str) -> Any:
    checker = _checkers()[demand.check](demand.check)
    checker.build_description(**demand.given)
    if "prompt" in (checker.get_instruction_args() or {}):
        checker.build_description(prompt=prompt)
    return checker
