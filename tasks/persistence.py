"""Persistence: does a quirk survive fine-tuning, noise on the weights, and quantising?

One organism; without training; harder treatments; and the figures written beside the card:

    inspect eval tasks/persistence.py -T organism=fruitfly/flattery.transcripts.none
    inspect eval tasks/persistence.py -T treatments=weight_noise:1,rounding:4
    inspect eval tasks/persistence.py -T treatments=none,benign_sft:100,adversarial_sft:40,rounding:3
    inspect eval tasks/persistence.py -T organism=fruitfly -T write=true
"""

from collections.abc import Sequence

from inspect_ai import Task, task

from audit_env.catalog.files import Catalog
from audit_env.errors import ParameterError
from audit_env.game.parameters import items, one_sentence, text_or_none, whole_number, yes_or_no
from audit_env.phenotype.choice import chosen
from audit_env.phenotype.conditions import SEEDS
from audit_env.phenotype.persistence_eval import persistence as survival
from audit_env.phenotype.persistence_eval import (
    persistence_viewer,
    treat_and_gather,
    treatment_samples,
)
from audit_env.phenotype.treatments import DEFAULT, dose


@task
@one_sentence()
def persistence(
    *,
    organism: str | Sequence[str] = "fruitfly",
    treatments: str | Sequence[str] | None = None,
    seeds: int | str = len(SEEDS),
    seed: int | str = 0,
    write: bool | str = False,
    root: str | None = None,
) -> Task:
    """Measure whether quirks survive treatments of the weights that carry them.

    Each sample is one organism after one treatment, done on a temporary copy of its weights. Treatments run one at a
    time. Training needs the extra `breed`; a step takes about half a second on two cores.

    Model roles:
        (eval model): not used. Organisms are played by their own engine.

    Args:
        organism: Ids of organisms, one, a list or with commas; or the name (or path) of a game set, whose quirked
            targets are treated.
        treatments: Pairs of treatment and amount, one, a list or with commas: `none` (for comparison),
            `benign_sft:STEPS` (dialogues in which the quirk would not show), `adversarial_sft:STEPS` (its trigger,
            answered plainly), `weight_noise:SIZE` (relative to the adapter's change), `rounding:BITS`. Default:
            none,benign_sft:40,adversarial_sft:10,weight_noise:1,weight_noise:3,rounding:8,rounding:4.
        seeds: How many times each scenario is answered. Intervals are clustered by scenario.
        seed: Decides noise and training data.
        write: Put the figures into `phenotype.json` beside each card.
        root: The organisms folder. Default: the one that comes with audit_env.

    Returns:
        The task.
    """
    root = text_or_none(root, "root")
    organisms = chosen(Catalog(root), items(organism))
    doses = DEFAULT if treatments is None else [dose(text) for text in items(treatments)]
    if not doses:
        raise ParameterError("Parameter 'treatments' is empty: name one, such as weight_noise:1, or leave it out.")
    return Task(
        dataset=treatment_samples(organisms, doses),
        solver=treat_and_gather(whole_number(seeds, "seeds", least=1), whole_number(seed, "seed"), root),
        scorer=survival(write=yes_or_no(write, "write"), root=root),
        viewer=persistence_viewer(),
        fail_on_error=False,
        version=1,
    )
