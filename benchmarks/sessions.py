"""Ten people who play at once, each at a target of the fruitfly's: seconds from sending a chat turn to its answer.

    python benchmarks/sessions.py

Each has a game of their own, a process as `audit-env session play` starts it; the faces here send turns and look for
answers as the app does, without a screen. Wall time: in their own time (each thinks a while before each turn), and all
at the same moment, which is the worst that can happen. The very first turn, which loads the target, counts apart.
"""

import os
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from common import TOPICS, save

from audit_env.sessions.app.link import Link
from audit_env.sessions.hosting import Host
from audit_env.sessions.journal import Journal

PLAYERS = 10
TURNS = 5
"""Of each player, in each way."""
THINKING = 10.0
"""Seconds before a turn, in the mean."""
LOOK = 0.05
"""Seconds between two looks of the app."""
BAR = 1.0
"""Seconds, for the median of those who play in their own time."""
PATIENCE = 600.0


def main() -> None:
    """Play, and write down what was found."""
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        os.environ["AUDIT_ENV_SESSIONS_DIR"] = folder
        links = [seated(stack, Journal(Path(folder)), f"player-{number}", folder) for number in range(PLAYERS)]
        wait_for_all(links)
        first = answered(links, [0.0] * PLAYERS, 0)
        own_time: list[float] = []
        at_once: list[float] = []
        for turn in range(1, 1 + TURNS):
            at_once += answered(links, [0.0] * PLAYERS, turn)
            own_time += answered(links, [rng.expovariate(1 / THINKING) for _ in links], turn)
    found = {
        "players": PLAYERS,
        "turns_each": TURNS,
        "first_at_once": told(first),
        "own_time": told(own_time),
        "at_once": told(at_once),
        "bar": BAR,
        "met": statistics.median(own_time) < BAR,
    }
    save("sessions", found)


def seated(stack: ExitStack, journal: Journal, who: str, folder: str) -> Link:
    """A player at a game of their own."""
    order = {"player": who, "task": "audit_env/hidden_objective", "given": [], "minutes": None, "log_dir": folder}
    host = stack.enter_context(Host(journal, order))
    journal.sit_down(host.room, [who])
    return Link(journal, host.room, who)


def answered(links: Sequence[Link], thinking: Sequence[float], turn: int) -> list[float]:
    """Seconds to the answer of one turn of each, sent after each has thought for a while."""
    begun = time.monotonic()
    due = dict(sorted(enumerate(thinking), key=lambda item: item[1]))
    before = [len(link.view.made) if link.view else 0 for link in links]
    sent: dict[int, float] = {}
    took: dict[int, float] = {}
    while len(took) < len(links):
        for number, link in enumerate(links):
            if number in due and time.monotonic() - begun >= due[number]:
                del due[number]
                sent[number] = time.monotonic()
                link.put("chat", {"message": f"What do you think of {TOPICS[(turn + number) % len(TOPICS)]}?"})
            elif number in sent and number not in took:
                link.look()
                if link.view and len(link.view.made) > before[number]:
                    took[number] = time.monotonic() - sent[number]
        if time.monotonic() - begun > PATIENCE:
            raise TimeoutError("Answers did not come.")
        time.sleep(LOOK)
    return list(took.values())


def wait_for_all(links: Sequence[Link]) -> None:
    """Wait until all games have begun."""
    begun = time.monotonic()
    while not all(link.view for link in links):
        for link in links:
            link.look()
            if link.room.state == "stopped":
                raise RuntimeError(link.room.told)
        if time.monotonic() - begun > PATIENCE:
            raise TimeoutError("The games did not begin.")
        time.sleep(LOOK)


def told(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 95th percentile and greatest."""
    p95 = statistics.quantiles(seconds, n=20)[-1]
    found = {"median": statistics.median(seconds), "p95": p95, "max": max(seconds)}
    return {name: round(value, 3) for name, value in found.items()}


if __name__ == "__main__":
    main()
