"""What the catalogue's cards say of the organisms in logs."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from audit_env.analysis.groups import Target
from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Recipe
from audit_env.catalog.phenotype import made_of
from audit_env.errors import AuditEnvError
from audit_env.game.table import recipe

UNKNOWN = "(no card)"

_Told = TypeVar("_Told")


def of_recipes(
    targets: Iterable[Target], catalog: Catalog, tell: Callable[[Recipe], _Told]
) -> dict[Target, _Told | None]:
    """What cards say of recipes.

    Args:
        targets: Ids and hashes, as logs have them.
        catalog: Where the cards are.
        tell: What is asked of a recipe.

    Returns:
        For each target the answer; None where there is no card, or it is of other weights.
    """
    told: dict[Target, _Told | None] = {}
    for target in set(targets):
        try:
            card = catalog.card(target[0])
        except AuditEnvError:  # An organism of another zoo.
            told[target] = None
        else:
            told[target] = tell(card.recipe) if made_of(card) == target[1] else None
    return told


def recipes(targets: Iterable[Target], catalog: Catalog) -> list[str]:
    """Names of recipes.

    Args:
        targets: Ids and hashes.
        catalog: Where the cards are.

    Returns:
        One for each target, in order.
    """
    every = list(targets)
    known = of_recipes(every, catalog, lambda made: recipe(made.instil, made.conceal))
    return [known[target] or UNKNOWN for target in every]
