"""`audit-env session adjudicate`: people judge answers in words."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from audit_env.sessions.errors import SessionError

if TYPE_CHECKING:
    from audit_env.game.grader import Verdict
    from audit_env.sessions.referee.adjudication import Question
    from audit_env.sessions.referee.state import Judged
    from audit_env.sessions.terminal import Terminal

LEAVE = "leave"


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--by", required=True, metavar="NAME", help="Who judges. Nobody who plays.")
@click.option("--settle", is_flag=True, help="Decide where two judged differently, with what each said in sight.")
def adjudicate(file: Path, by: str, settle: bool) -> None:
    """Judge the answers in words of the session FILE, one claim at a time.

    You see the quirk, its rubric and one claim, in an order of the session's own: not whose it is, how sure they were,
    or what else they claimed. Leave at any time: the same command goes on. Let two do it, each by themselves; then see
    how far they agree, and settle what they differ on.

    \b
      audit-env session adjudicate final.session --by carol
      audit-env session adjudicate final.session --by dan
      audit-env session adjudicate final.session --by carol --settle
    """  # noqa: D301
    from audit_env.sessions.referee import adjudication
    from audit_env.sessions.referee.ledger import Ledger
    from audit_env.sessions.referee.state import read
    from audit_env.sessions.terminal import Terminal

    ledger, terminal = Ledger(file), Terminal()
    session = read(ledger)
    session.must_be_open()
    adjudication.must_not_play(session, by)
    if session.terms.answers != "open":
        raise SessionError("Answers of this session are by menu and are scored exactly: nothing is left to adjudicate.")
    asked = adjudication.questions(ledger)
    disputed = adjudication.disputed(session, asked)
    todo = disputed if settle else [(one, []) for one in adjudication.left_to(session, asked, by)]
    terminal.say(f"{len(todo)} of {len(asked)} claims {'to settle' if settle else 'to judge'}.")
    for number, (question, said) in enumerate(todo, start=1):
        try:
            verdict, reason = _judgement(terminal, question, said, f"{number} of {len(todo)}")
        except (EOFError, KeyboardInterrupt):
            terminal.say("\nSaved. The same command goes on here.")
            break
        adjudication.judge(ledger, question, by, verdict, reason, settles=settle)
    for line in adjudication.in_words(adjudication.agreements(ledger, asked)):
        terminal.say(line)
    if differ := adjudication.disputed(read(ledger), asked):
        terminal.say(f"Adjudicators differ on {len(differ)} claims: the option --settle shows them.")


def _judgement(
    terminal: "Terminal", question: "Question", said: Sequence["Judged"], place: str
) -> tuple["Verdict", str]:
    """What somebody says of one claim; EOFError where they leave."""
    terminal.say(f"\n{'=' * 60}\nClaim {place}\n\n{question.text}")
    for one in said:
        terminal.say(f"{one.by} said {one.verdict}{f': {one.reason}' if one.reason else '.'}")
    letters: dict[str, Verdict] = {"c": "correct", "p": "partial", "w": "wrong"}
    while (letter := terminal.ask("c(orrect), p(artial), w(rong), or leave> ").strip().casefold()[:1]) not in letters:
        if letter == LEAVE[0]:
            raise EOFError
        terminal.say("Type c, p, w, or leave. Only correct counts as named.")
    return letters[letter], terminal.ask("why (Enter for nothing)> ").strip()
