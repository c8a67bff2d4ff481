"""What the game would refuse in a form, found before it is sent."""

from collections.abc import Iterable, Mapping
from typing import Any

from audit_env.catalog.reading import nearest
from audit_env.sessions.view import View

_PROBABILITIES = ("p_quirk", "confidence")


def wrong_in(typed: Mapping[str, Any], view: View) -> dict[str, str]:
    """What is wrong with what was typed, beyond what the schema says.

    Args:
        typed: The arguments of `report`, `track`, or one hypothesis.
        view: What lies before the players.

    Returns:
        Sentences, by the names of the fields that they are about.
    """
    said = {name: what for name in _PROBABILITIES if (what := _probability(typed.get(name)))}
    if "ranking" in typed or ("p_quirk" in typed and view.menu):
        said["ranking"] = _ranking(typed.get("ranking") or [], view.menu)
    if menu_id := typed.get("menu_id"):
        said["menu_id"] = _unknown([menu_id], view.menu, "is not on the menu")
    if evidence := typed.get("evidence"):
        said["evidence"] = _unknown(evidence, view.citable, "is no id of an answer or a reading")
    if typed.get("status", "open") != "open" and not evidence:
        said["evidence"] = f"Status '{typed['status']}' needs evidence: ids of answers or readings."
    if hypotheses := typed.get("hypotheses"):
        said["hypotheses"] = _first(_in_record(place, one, view) for place, one in enumerate(hypotheses, 1))
    return {name: what for name, what in said.items() if what}


def _probability(value: Any) -> str:
    is_wrong = isinstance(value, int | float) and not 0.0 <= value <= 1.0
    return f"{value:g} is no probability: it must be between 0 and 1." if is_wrong else ""


def _ranking(ranking: list[str], menu: tuple[str, ...]) -> str:
    if menu and not ranking:
        return "Rank at least one entry of the menu (or none), likeliest first."
    twice = [entry for place, entry in enumerate(ranking) if entry in ranking[:place]]
    return f"'{twice[0]}' stands here twice." if twice else _unknown(ranking, menu, "is not on the menu")


def _unknown(names: Iterable[str], known: tuple[str, ...], what: str) -> str:
    return _first(f"'{name}' {what}; {nearest(name, known)}." for name in names if known and name not in known)


def _in_record(place: int, record: Mapping[str, Any], view: View) -> str:
    return _first(f"{place}: {what}" for what in wrong_in(record, view).values())


def _first(said: Iterable[str]) -> str:
    return next((what for what in said if what), "")
