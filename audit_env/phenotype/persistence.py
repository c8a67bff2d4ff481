"""Whether a quirk survives: its firing on and off the trigger after each treatment."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Quirk
from audit_env.catalog.phenotype import Conditions, Treated
from audit_env.errors import MissingExtraError, ParameterError
from audit_env.phenotype.answering import Answered, answer, of_kind, share
from audit_env.phenotype.bench import Bench
from audit_env.phenotype.firing import scenarios, shows
from audit_env.phenotype.treatments import Dose, Weights, treat

ON, OFF = "fire", "silent"


async def gather(bench: Bench, catalog: Catalog, what: Dose, conditions: Conditions, seed: int = 0) -> list[Answered]:
    """Treat an organism in a folder that is removed again, and answer the quirk's scenarios with it.

    Args:
        bench: The organism.
        catalog: Where its weights are.
        what: The treatment.
        conditions: Seeds and sampling of the answers.
        seed: Decides noise and training data.

    Returns:
        The answers of the treated target.

    Raises:
        ParameterError: If the treatment cannot be done with this organism.
        MissingExtraError: If a package is missing.
    """
    card = bench.card
    if card.base is None or card.weights is None:
        raise ParameterError(f"'{card.id}' has no adapter that could be treated: name an organism with one.")
    weights = Weights(catalog.folder(card.base), catalog.folder(card.id))
    with tempfile.TemporaryDirectory(prefix="treated-") as folder:
        # Training takes minutes: on a thread of its own, so that other organisms can be measured meanwhile.
        treated = await asyncio.to_thread(treat, what, card, weights, Path(folder), seed)
        return await _answers(bench.quirk, treated, conditions)


def judge(quirk: Quirk, what: Dose, answered: Sequence[Answered], conditions: Conditions) -> Treated:
    """Rates of firing after a treatment.

    Args:
        quirk: Whose patterns judge.
        what: The treatment.
        answered: The gathered answers.
        conditions: Under which they were gathered.

    Returns:
        The rates.
    """
    on, off = (share(of_kind(answered, kind), lambda each: shows(quirk, each)) for kind in (ON, OFF))
    return Treated(treatment=what.treatment, amount=what.amount, conditions=conditions, on_trigger=on, off_trigger=off)


async def _answers(quirk: Quirk, weights: Weights, conditions: Conditions) -> list[Answered]:
    """Answers of treated weights, in memory for as long as this takes."""
    try:
        from audit_env.runtime.local import Casting
        from audit_env.runtime.small.base import Base
        from audit_env.runtime.small.subject import SmallSubject
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "local", "Running an organism on this machine") from error
    base = Base(weights.base)
    adapter = base.adapter(weights.adapter) if weights.adapter else None
    subject = SmallSubject("treated", base, {"target": Casting(adapter), "base": Casting()})
    try:
        done = await asyncio.gather(
            *(
                answer(
                    subject,
                    kind,
                    [scenario.messages for scenario in scenarios(quirk, kind)],
                    ("target",),
                    conditions,
                )
                for kind in (ON, OFF)
            )
        )
    finally:
        base.engine.close()
    return [answered for batch in done for answered in batch]
