"""One tool, alone, on one model: nobody chooses what to ask, and nothing is kept but what it showed and cost."""

import hashlib
import inspect
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from inspect_ai._util._async import tg_collect
from inspect_ai.log._transcript import Transcript, init_transcript
from inspect_ai.tool import ToolError
from inspect_ai.util import Store, concurrency, store_as
from inspect_ai.util._store import init_subtask_store

from audit_env.catalog.alias import alias as opaque
from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Strict
from audit_env.catalog.phenotype import made_of
from audit_env.evidence.inputs import Step, steps
from audit_env.game.record import AuditRecord, Budget
from audit_env.runtime import cast
from audit_env.tools.affordances import maker
from audit_env.tools.models import reference_alias

BUDGET = Budget(tool_calls=100, target_tokens=100_000, auditor_tokens=100_000_000)
"""More than any fixed input needs: the test prices tools, it does not ration them."""


class Shown(Strict):
    """What a tool showed of a model, and what it cost."""

    text: str
    """Empty where it was refused."""
    refused: str = ""
    """Why the tool could not be used on this model."""
    calls: int = 0
    target_tokens: int = 0
    seconds: float = 0.0
    """Of the last call, with nothing beside it in this process. What engines keep is not computed again."""


@dataclass(frozen=True)
class Stage:
    """Where models come from, and what they are read beside."""

    root: Path | None
    reference_sham: str | None
    seed: int = 0

    def catalog(self) -> Catalog:
        """The catalogue of the organisms, read once."""
        return catalog_of(self.root)

    def made_of(self, *organisms: str) -> dict[str, str]:
        """What is measured where a tool is used on organisms, which was checked against their files.

        Args:
            *organisms: Their ids.

        Returns:
            Hash of the weights of each, of its base and of the sham that it is read beside, by id.
        """
        catalog = self.catalog()
        cards = [catalog.card(name) for name in (*organisms, self.reference_sham) if name]
        bases = [catalog.card(card.base) for card in cards if card.base]
        return {card.id: made_of(card) for card in (*cards, *bases)}


@cache
def catalog_of(root: Path | None) -> Catalog:
    """The catalogue of an organisms folder, read once in a process: hundreds of cards take seconds.

    Args:
        root: The folder; None for the one that comes with audit_env.

    Returns:
        The catalogue.
    """
    return Catalog(root)


_shown: dict[tuple[Stage, str, str], Shown] = {}
"""What was shown already, by stage, organism and tool: the same model stands in for many others."""


async def shown(stage: Stage, organism: str, tool: str) -> Shown:
    """Use a tool on an organism, once in a process.

    Args:
        stage: Where it comes from.
        organism: Its id.
        tool: Module and function of the tool.

    Returns:
        What the last step of the tool's fixed input showed.
    """
    async with concurrency("a tool, alone", 1):
        key = stage, organism, tool
        if key not in _shown:
            alias = _bound(stage, organism)
            [_shown[key]] = await tg_collect([lambda: _alone(stage, organism, alias, steps(tool))])
        return _shown[key]


async def _alone(stage: Stage, organism: str, alias: str, given: tuple[Step, ...]) -> Shown:
    # In a task of its own: store and transcript are the task's, and the sample's log keeps neither.
    init_subtask_store(Store())
    init_transcript(Transcript(log_model_api=False))
    record = store_as(AuditRecord)
    record.alias, record.family = alias, stage.catalog().card(organism).family
    record.affordance, record.seed, record.budget = "white_box", stage.seed, BUDGET
    text, seconds = "", 0.0
    for step in given:
        began = time.perf_counter()
        try:
            text = str(await _called(step.after(text)))
        except ToolError as error:
            return Shown(text="", refused=error.message)
        seconds = time.perf_counter() - began
    spent = record.spent
    return Shown(text=text, calls=spent.tool_calls, target_tokens=spent.target_tokens, seconds=round(seconds, 3))


async def _called(step: Step) -> Any:
    tool = maker(step.tool)()
    # A charged tool shows Inspect a signature without the books; called from here, it fills in its own defaults.
    answer = tool(**step.arguments)
    return await answer if inspect.isawaitable(answer) else answer


def _bound(stage: Stage, organism: str) -> str:
    """Bind an organism and its base under opaque names, as a game does."""
    catalog = stage.catalog()
    catalog.check(organism)
    card = catalog.card(organism)
    base = catalog.card(card.base) if card.base else card
    sham = catalog.card(stage.reference_sham) if stage.reference_sham else None
    beside = sham if sham and sham.base == base.id else None
    if beside:
        catalog.check(beside.id)
    salt = hashlib.sha256(f"evidence:{stage.seed}".encode()).hexdigest()
    alias = opaque(salt, organism, made_of(card))
    for name, one in ((alias, card), (reference_alias(alias), base)):
        cast.bind(
            name,
            one,
            catalog.folder(one.id),
            base_folder=catalog.folder(base.id),
            sham_folder=catalog.folder(beside.id) if beside else None,
            sham_system=beside.hidden_system if beside else None,
        )
    return alias
