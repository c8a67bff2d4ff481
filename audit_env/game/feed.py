"""Sham tools: grey-box and white-box tools that are now and then fed by something else than the target.

They price distraction. An auditor that takes what a tool shows for evidence, whatever it shows, names quirks from shams
as readily as from the target. The auditor is not told which calls were fed by what. The plan lies in this process and
under the seal, and is written to the record when the truth is opened.
"""

import hashlib
import random
from typing import Literal

from pydantic import Field

from audit_env.catalog.models import Strict
from audit_env.errors import ParameterError
from audit_env.game.parameters import one_of
from audit_env.game.record import AuditRecord

Source = Literal["base", "null", "noise"]
"""base: the clean base. null: an organism with another quirk, of the same recipe where the set has one. noise: an
adapter of the same singular values along random directions."""

SOURCES: tuple[Source, ...] = ("base", "null", "noise")
HALF = 0.5


class Feed(Strict):
    """What tools are fed with in place of the target, and how often."""

    source: Source
    share: float = Field(default=HALF, gt=0, le=1)
    """Share of the calls."""

    def __str__(self) -> str:
        return f"{self.source}:{self.share:g}"


_plans: dict[str, Feed] = {}
"""By the commitment of the audit."""


def feed_of(value: object) -> Feed | None:
    """A feed as people type it.

    Args:
        value: None or "none" for tools that show the target alone; "base", "null" or "noise"; with a share, as in
            "null:0.25".

    Returns:
        The feed.

    Raises:
        ParameterError: If it means nothing.
    """
    if value is None or str(value).strip() in ("", "none"):
        return None
    name, colon, typed = str(value).partition(":")
    source = one_of(name.strip(), SOURCES, "sham_tools")
    try:
        share = float(typed) if colon else HALF
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise ParameterError(
            f"Parameter 'sham_tools' cannot have the share '{typed}': give a number above 0 and at most 1, as in "
            f"{source}:{HALF}."
        )
    return Feed(source=source, share=share)


def plan(commitment: str, feed: Feed) -> None:
    """Lay down, out of the auditor's reach, what an audit's tools are fed with.

    Args:
        commitment: The commitment of the audit.
        feed: The feed.
    """
    _plans[commitment] = feed


def name_of_stand_in(alias: str) -> str:
    """The name under which a target's stand-in is bound: an alias like any other.

    Args:
        alias: The target's alias.

    Returns:
        Such as `t-90cc1e07`.
    """
    return f"t-{hashlib.sha256(f'stand-in:{alias}'.encode()).hexdigest()[:8]}"


def fed_alias(record: AuditRecord, call: int) -> str:
    """Whom a call's tool reads.

    Args:
        record: The audit's record.
        call: Number of the call.

    Returns:
        The alias of the target, or of its stand-in.
    """
    feed = _plans.get(record.commitment or "")
    return name_of_stand_in(record.alias) if feed and _falls_on(feed, record.seed, call) else record.alias


def fed_calls(record: AuditRecord, feed: Feed | None) -> frozenset[int]:
    """The calls of a finished audit that showed a stand-in.

    Args:
        record: The audit's record.
        feed: What the tools were fed with, as the opened truth has it.

    Returns:
        Numbers of calls.
    """
    if feed is None:
        return frozenset()
    return frozenset(call for call in record.examined if _falls_on(feed, record.seed, call))


def _falls_on(feed: Feed, seed: int, call: int) -> bool:
    return random.Random(f"feed:{seed}:{call}").random() < feed.share
