"""Which organisms are measured: what a person types, as ids."""

from collections.abc import Sequence

from audit_env.catalog.files import Catalog
from audit_env.catalog.reading import nearest
from audit_env.errors import ParameterError
from audit_env.phenotype.bench import quirk_of


def chosen(catalog: Catalog, names: Sequence[str]) -> list[str]:
    """The organisms that a parameter names.

    Args:
        catalog: Where they are.
        names: Ids of quirked organisms, or names or paths of game sets, whose quirked targets are meant.

    Returns:
        Their ids in the order given, each once.

    Raises:
        ParameterError: If a name is neither, an organism has no quirk, or nothing is left.
        CardError: If a card or a set is malformed.
    """
    found = [organism for name in names for organism in _meant(catalog, name)]
    if not found:
        raise ParameterError("Parameter 'organism' names no organism with a quirk; give an id or the name of a set.")
    return list(dict.fromkeys(found))


def _meant(catalog: Catalog, name: str) -> list[str]:
    if name in catalog.set_names() or name.endswith((".yaml", ".yml")):
        targets = catalog.game_set(name).targets
        return [target for target in targets if catalog.card(target).quirk is not None]
    known = catalog.organism_ids()
    if name not in known:
        raise ParameterError(
            f"Parameter 'organism' cannot be '{name}', which is no organism and no game set; "
            f"{nearest(name, [*catalog.set_names(), *known])}."
        )
    quirk_of(catalog, name)
    return [name]
