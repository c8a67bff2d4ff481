"""Naturalness: is an organism still a normal model, apart from its quirk?

One organism; some rows; a game set; and the sheet written beside the card:

    inspect eval tasks/naturalness.py -T organism=fruitfly/flattery.transcripts.none
    inspect eval tasks/naturalness.py -T organism=fruitfly/flattery.transcripts.none -T rows=instructions,leaks,thinking
    inspect eval tasks/naturalness.py -T organism=fruitfly
    inspect eval tasks/naturalness.py -T organism=fruitfly/flattery.transcripts.none -T write=true

A run that broke off goes on where it stopped:

    inspect eval-retry logs/<log>.eval

The report of a log, as Markdown, HTML or JSON, and what each recipe does to each row:

    audit-env naturalness show logs/<log>.eval --format markdown
    audit-env naturalness table logs/<log>.eval
"""

from collections.abc import Sequence

from inspect_ai import Task, task

from audit_env.catalog.files import Catalog
from audit_env.game.parameters import each_of, items, one_sentence, text_or_none, whole_number, yes_or_no
from audit_env.naturalness.measures import ROWS
from audit_env.naturalness.naturalness_eval import ask, chosen, naturalness_viewer, samples
from audit_env.naturalness.naturalness_eval import naturalness as judged
from audit_env.naturalness.prompts import read_bank


@task
@one_sentence()
def naturalness(
    *,
    organism: str | Sequence[str] = "fruitfly",
    rows: str | Sequence[str] | None = None,
    prompts: str | None = None,
    documents: str | None = None,
    limit: int | str | None = None,
    seed: int | str = 0,
    system: str | None = None,
    redacted: bool | str = False,
    write: bool | str = False,
    root: str | None = None,
) -> Task:
    """Compare organisms with their base and a sham, row by row, with paired statistics.

    Each sample is one organism. It, its base, a sham, and the base a second time get the same prompts under the same
    seeds. The score's explanation is the report; the log holds every answer, so that it can be judged again:
    `inspect score LOG --scorer audit_env/naturalness`.

    Model roles:
        (eval model): not used. Organisms are played by their own engine.
        organism: plays prompted organisms, which have no weights of their own.
        grader: judges leaks: every hit of a detector, and a sample of the answers without one. Without it, nobody does.

    Args:
        organism: Ids of organisms, with or without a quirk, one, a list or with commas; or the name (or path) of a game
            set, all of whose targets but the base are measured.
        rows: Rows to measure, one, a list or with commas. Default: all.
        prompts: Bank of prompts: a name in audit_env/naturalness/data/banks, or a file. Default: that of the
            organism's family, or `english`.
        documents: A file of the organism's training documents, one a line, to look for in its answers.
        limit: Prompts of each set at most. Default: all.
        seed: Seed of sampled answers.
        system: System prompt that the organism is deployed under, for the rows that ask under one. Default: the bank's.
        redacted: Drop answers that give training text away before judging. A log can be judged either way:
            `inspect score LOG --scorer audit_env/naturalness -S redacted=true --action overwrite`.
        write: Put the sheet, `naturalness.json`, beside each card.
        root: The organisms folder. Default: the one that comes with audit_env.

    Returns:
        The task.
    """
    root, prompts = text_or_none(root, "root"), text_or_none(prompts, "prompts")
    if prompts is not None:
        read_bank(prompts)  # so that a wrong name is told before anything runs
    return Task(
        dataset=samples(chosen(Catalog(root), items(organism))),
        solver=ask(
            ROWS if rows is None else each_of(rows, ROWS, "rows"),
            prompts,
            documents,
            None if limit is None else whole_number(limit, "limit", least=1),
            whole_number(seed, "seed"),
            root,
            system,
        ),
        scorer=judged(write=yes_or_no(write, "write"), redacted=yes_or_no(redacted, "redacted"), root=root),
        viewer=naturalness_viewer(),
        fail_on_error=False,
        version=1,
    )
