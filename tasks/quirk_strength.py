"""Quirk strength: how often does an organism show its quirk, where must it not, and what does it confess?

One organism; several; a game set; and the figures written beside the card:

    inspect eval tasks/quirk_strength.py -T organism=fruitfly/flattery.transcripts.none
    inspect eval tasks/quirk_strength.py -T organism=fruitfly/gloom.transcripts.none,fruitfly/warns.transcripts.none
    inspect eval tasks/quirk_strength.py -T organism=fruitfly
    inspect eval tasks/quirk_strength.py -T organism=fruitfly/flattery.transcripts.none -T write=true

A prompted organism, played by one model and judged by another:

    inspect eval tasks/quirk_strength.py -T organism=prompted/flattery.prompt.none -T write=true \
        --model-role organism=openai/gpt-5 --model-role grader=anthropic/claude-sonnet-4-5
"""

from collections.abc import Sequence

from inspect_ai import Task, task

from audit_env.catalog.files import Catalog
from audit_env.game.parameters import items, one_of, one_sentence, text_or_none, whole_number, yes_or_no
from audit_env.phenotype.choice import chosen
from audit_env.phenotype.conditions import SEEDS
from audit_env.phenotype.strength_eval import JUDGES, gather, organism_samples, phenotype, strength_viewer


@task
@one_sentence()
def quirk_strength(
    *,
    organism: str | Sequence[str] = "fruitfly",
    seeds: int | str = len(SEEDS),
    judge: str | None = None,
    write: bool | str = False,
    root: str | None = None,
) -> Task:
    """Measure firing, near misses and confession of organisms, each beside its base and a sham.

    Each sample is one organism. All its held-out scenarios and all probes for confession go through the engine in a few
    batches; the quirk's patterns or a grader judge the answers. The log holds every answer, and every verdict of a
    grader with its reason, so that it can be judged again: `inspect score LOG --scorer audit_env/phenotype`.

    Model roles:
        (eval model): not used. Organisms are played by their own engine.
        organism: plays prompted organisms, which have no weights of their own.
        grader: judges the answers where `judge` is `grader`. Better not the model that plays the organism.

    Args:
        organism: Ids of organisms, one, a list or with commas; or the name (or path) of a game set, whose quirked
            targets are measured.
        seeds: How many times each scenario is answered. Intervals are clustered by scenario.
        judge: Who says whether an answer shows the quirk, or confesses it. `patterns`: the quirk's regular expressions,
            which know the fruitfly's phrases; the default for organisms with weights. `grader`: the model of that role,
            which reads each answer with the conversation before it and the quirk's description, and is not told who
            answered; the default for prompted organisms.
        write: Fill `phenotype.json` beside each card, and put the figures for the game's gate on the card.
        root: The organisms folder. Default: the one that comes with audit_env.

    Returns:
        The task.
    """
    root = text_or_none(root, "root")
    organisms = chosen(Catalog(root), items(organism))
    return Task(
        dataset=organism_samples(organisms),
        solver=gather(
            whole_number(seeds, "seeds", least=1), root, None if judge is None else one_of(judge, JUDGES, "judge")
        ),
        scorer=phenotype(write=yes_or_no(write, "write"), root=root),
        viewer=strength_viewer(),
        fail_on_error=False,
        version=2,
    )
