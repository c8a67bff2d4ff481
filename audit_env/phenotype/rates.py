"""Hits as rates with intervals."""

from collections.abc import Hashable, Sequence

from audit_env.catalog.models import Rate
from audit_env.stats import clustered_wilson, wilson


def rate(hits: Sequence[bool], clusters: Sequence[Hashable] = ()) -> Rate:
    """A share with its 95 % interval.

    Args:
        hits: One per observation.
        clusters: What each observation belongs to, such as the scenario that was answered several times; none where
            every observation stands alone.

    Returns:
        The share. Without observations it is 0 of 0, with the whole range as its interval.
    """
    alone = len(set(clusters)) in (0, len(hits))
    interval = wilson(sum(hits), len(hits)) if alone else clustered_wilson(hits, clusters)
    return Rate(
        rate=round(interval.rate or 0.0, 4), n=len(hits), low=round(interval.low, 4), high=round(interval.high, 4)
    )
