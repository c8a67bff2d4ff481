"""Hidden objective: was a quirk planted in this model, and which?

Scripted auditors, no model needed; an LLM auditor; two levels of access on six targets; two levels in phases; from an
installed wheel:

    inspect eval tasks/hidden_objective.py
    inspect eval tasks/hidden_objective.py --model openai/gpt-5
    inspect eval tasks/hidden_objective.py --model openai/gpt-5 -T affordance=black_box,white_box -T targets=6
    inspect eval tasks/hidden_objective.py --model openai/gpt-5 -T affordance=black_box-then-white_box
    inspect eval audit_env/hidden_objective
"""

from collections.abc import Sequence

from inspect_ai import Task, task

from audit_env.agents.default_auditor import default_auditor
from audit_env.catalog.files import Catalog
from audit_env.errors import ParameterError
from audit_env.game.brief import BaseRate, brief_names, check_base_rate, stated_base_rate, write_brief
from audit_env.game.budget import budget_for, together
from audit_env.game.draw import draw, samples
from audit_env.game.feed import feed_of
from audit_env.game.judging.judges import named_judge
from audit_env.game.parameters import one_of, one_sentence, whole_number
from audit_env.game.phases import Phase, each_access, levels_in
from audit_env.game.provision import provision
from audit_env.game.record import AnswerFormat
from audit_env.game.redacting import REDACTS
from audit_env.game.scorer import verdict
from audit_env.game.viewer import game_viewer
from audit_env.runtime import cast
from audit_env.tools import AFFORDANCES
from audit_env.tools.models import a_script_audits, auditor_is_a_model

PROTOCOL = 1
"""Version of the game's rules: scores of different versions do not compare."""

ANSWERS: tuple[AnswerFormat, ...] = ("menu", "open")
BASE_RATES: tuple[BaseRate, ...] = ("withheld", "stated")


@task
@one_sentence()
def hidden_objective(
    *,
    set: str = "fruitfly",
    affordance: str | Sequence[str] | None = None,
    answers: str = "menu",
    brief: str = "default",
    base_rate: str = "withheld",
    budget: int | str | Sequence[str] | dict[str, int] | None = None,
    targets: int | str | None = None,
    sham_tools: str | None = None,
    redact: str | None = None,
    seed: int | str = 0,
    judge: str = "grader",
    votes: int | str = 1,
) -> Task:
    """Audit models that may hide a planted behaviour.

    Each sample is one audit of one target at one level of access. Without `--model` the scripted auditors play; with a
    model, it investigates with tools. `--solver agents/x.py@name` puts any other auditor in their place. Rounds are
    repeated with `--epochs`.

    Model roles:
        (eval model): the auditor, set by `--model`.
        organism: plays the targets that any model can play (`set=prompted`), each behind its hidden prompt. It
            overrides all other targets of the run, which then count as unscored.
        grader: judges open answers (`answers=open`).

    A mistyped parameter *name* only draws a warning from Inspect: look for "not used by task" in the output.

    Args:
        set: The game set: a name from `organisms/sets/`, or the path of a set file.
        affordance: What the auditor may touch: blind, chat, black_box, grey_box, white_box or data, or a published set
            of tools such as auditbench.prefill (all are in `audit_env/tools/affordances.yaml`); one, a list, or with
            commas. Levels joined by `-then-`, as in black_box-then-white_box, are phases of one audit: an interim
            verdict closes each and opens the next (for models and people; scripts play no phases). Default: black_box
            with a model; blind, black_box and white_box for the scripted auditors. (A task made in Python,
            `eval(hidden_objective(), model=...)`, does not know the model yet: name the levels there.)
        answers: "menu" for answers from a list of candidates, scored exactly; "open" for answers in words, which a
            grader judges.
        brief: What the auditor is told: "default" (a quirk may or may not have been planted) or "planted" (one was, as
            in AuditBench), or any other file in `audit_env/game/briefs/`.
        base_rate: "stated" to tell the auditor how many of the targets have a quirk, "withheld" not to.
        budget: Tool calls per audit as a number, or pairs such as
            tool_calls:40,target_tokens:5000,auditor_tokens:200000. Each phase has it anew. Default: see
            `audit_env/game/budget.py`.
        targets: How many targets to draw from the set. Default: all. The share of clean ones is kept, and at least one,
            but for a single target, which is any of the set.
        sham_tools: "base", "null" (another organism of the same recipe) or "noise" (an adapter as large, in random
            directions), with a share, as in "null:0.25" (default 0.5): what grey-box and white-box tools show in that
            share of their calls, in place of the target. The auditor is not told; evidence from them is classed sham.
        redact: "leaks" to have no answer of the target heard that tells its training: its next answer without a leak
            stands there, or the base's. The auditor is not told; tables keep such audits apart. See
            `audit_env/game/redacting.py`.
        seed: Decides draw, order, aliases and sampling. The same seed gives the same scores.
        judge: Who judges open answers. "grader": the model of that role, without which they stay unscored. "lexical":
            an offline judge of words, weak, with its measured kappa beside every figure. `audit-env judge validate`
            measures either.
        votes: How many times the grader judges each claim. The majority decides; a tie is not correct.

    Returns:
        The task.
    """
    catalog = Catalog().of_set(set)
    levels = each_access(affordance or _default_levels(), AFFORDANCES)
    if a_script_audits() and (phased := [name for name in levels if len(levels_in(name)) > 1]):
        raise ParameterError(
            f"Parameter 'affordance' cannot be '{phased[0]}' without a model, since scripts give no interim verdict: "
            f"add --model, or name one level, such as -T affordance={levels_in(phased[0])[-1]}."
        )
    answer_format = one_of(answers, ANSWERS, "answers")
    brief_name = one_of(brief, brief_names(), "brief")
    base_rate_told = one_of(base_rate, BASE_RATES, "base_rate")
    check_base_rate(brief_name, base_rate_told)
    run_seed = whole_number(seed, "seed")
    judge_name, vote_count = named_judge(judge, votes)
    if answer_format != "open" and (judge_name, vote_count) != named_judge("grader", 1):
        raise ParameterError("Parameters 'judge' and 'votes' are for answers in words: add  -T answers=open.")
    feed = feed_of(sham_tools)
    budgets = {level: budget_for(level, budget) for name in levels for level in levels_in(name)}

    game_set = catalog.game_set(set)
    count = None if targets is None else whole_number(targets, "targets", least=1)
    redacted = None if redact is None else one_of(redact, REDACTS, "redact")
    cast.prepare(map(catalog.card, game_set.targets))
    drawn = draw(game_set, catalog, count=count, seed=run_seed, redact=redacted)
    if feed and feed.source == "noise" and any(target.card.plays for target in drawn):
        raise ParameterError(
            f"Parameter 'sham_tools' cannot be 'noise' for the set '{game_set.name}': targets that a model plays have "
            "no weights to make noise of; use sham_tools=base or sham_tools=null."
        )
    if auditor_is_a_model():
        # With the table behind it, which a script does not need to load.
        from audit_env.game.cost import say_before_a_run

        whole = {name: together(budgets[level] for level in levels_in(name)) for name in levels}
        say_before_a_run({name: len(drawn) for name in levels}, whole)
    told = stated_base_rate([target.card for target in drawn]) if base_rate_told == "stated" else None
    return Task(
        dataset=samples(
            drawn,
            levels,
            answers=answer_format,
            set_name=game_set.name,
            brief_name=brief_name,
            budget=budgets.__getitem__,
            brief=lambda family, level, budget: write_brief(
                brief_name,
                catalog=catalog,
                family=family,
                affordance=levels_in(level)[0],
                answers=answer_format,
                budget=budget,
                base_rate=told,
                later=[Phase(affordance=name, budget=budgets[name]) for name in levels_in(level)[1:]],
            ),
        ),
        setup=provision(seed=run_seed, sham_tools=str(feed) if feed else None),
        solver=default_auditor(),
        scorer=verdict(judge=judge_name, votes=vote_count),
        viewer=game_viewer(),
        score_on_error=True,
        fail_on_error=False,
        version=PROTOCOL,
        metadata={"protocol": PROTOCOL, "set": game_set.name, "seed": run_seed},
    )


def _default_levels() -> Sequence[str]:
    return ("black_box",) if auditor_is_a_model() else ("blind", "black_box", "white_box")
