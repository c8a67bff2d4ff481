"""The fair test of tools: does what a tool shows single out the quirk, without any auditor?

All tools on the development half; some tools on another set; the table of a log:

    inspect eval tasks/tool_evidence.py
    inspect eval tasks/tool_evidence.py -T set=fruitfly_held_out -T tools=kl_prompts,read_weights
    audit-env evidence show logs/<log>.eval
"""

from collections.abc import Sequence

from inspect_ai import Task, task

from audit_env.catalog.files import Catalog
from audit_env.evidence.choice import chosen_tools
from audit_env.evidence.evidence_eval import FEEDS, evidence_viewer, samples, trials, use_tool
from audit_env.evidence.evidence_eval import tool_evidence as judged
from audit_env.game.parameters import each_of, items, one_sentence, text_or_none, whole_number


@task
@one_sentence()
def tool_evidence(
    *,
    set: str = "fruitfly_dev",
    tools: str | Sequence[str] | None = None,
    feeds: str | Sequence[str] | None = None,
    recipes: str | Sequence[str] | None = None,
    each: int | str = 1,
    seed: int | str = 0,
    root: str | None = None,
) -> Task:
    """Use each tool alone on each organism, and see where its answer puts the quirk among the entries of the menu.

    Each sample is one tool on one organism, fed by the organism itself, its base, a sham, or an organism of the same
    recipe with another quirk. What a tool shows is weighed by rules that are the same for every tool and know nothing
    of the truth: by the words that the clean base uses more when it is told to act an entry out. By chance half of the
    other entries stand below the truth.

    Tools are used one at a time, so that their seconds can be compared. A run that broke off goes on with
    `inspect eval-retry`. For honest seconds switch the cache of answers off: AUDIT_ENV_CACHE=off.

    Model roles:
        (eval model): not used, but by the scaffolded tools, which without one take their inputs from the prompt bank.

    Args:
        set: The game set: a name from `organisms/sets/`, or the path of a set file. Its organisms with a single quirk
            are tested.
        tools: Names of tools, one, a list or with commas. Default: all of the level `everything`.
        feeds: By whom the tools are fed: target, base, sham, null; one, a list or with commas. Default: all.
        recipes: Recipes and concealments of the organisms, such as transcripts.none,documents.none. Default: all.
        each: Organisms of each quirk and recipe at most (the plain ones first: other seeds, doses and ranks follow).
        seed: Seed of sampled answers, and of who stands in for whom.
        root: The organisms folder. Default: the one that comes with audit_env.

    Returns:
        The task.
    """
    root = text_or_none(root, "root")
    catalog = Catalog(root)
    game_set = catalog.game_set(set)
    run_seed = whole_number(seed, "seed")
    found = trials(
        catalog,
        game_set,
        chosen_tools(tools),
        FEEDS if feeds is None else each_of(feeds, FEEDS, "feeds"),
        recipes=None if recipes is None else items(recipes),
        each=whole_number(each, "each", least=1),
        seed=run_seed,
    )
    return Task(
        dataset=samples(found),
        solver=use_tool(game_set.reference_sham, run_seed, root),
        scorer=judged(root=root),
        viewer=evidence_viewer(),
        fail_on_error=False,
        version=1,
        metadata={"set": game_set.name, "seed": run_seed},
    )
