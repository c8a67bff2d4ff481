"""Linear probes: a direction that tells two groups of vectors apart, and how well it does on vectors it has not seen.

Two methods. "mean" is the difference of the groups' means, whitened by their pooled covariance where there are more
than twice as many vectors as dimensions (linear discriminant analysis). "logistic" is logistic regression on
standardised features with an L2 penalty, C = 0.1 in scikit-learn's terms; it is solved here by Newton's method in the
space that the vectors span, since a dependency for one convex function would be heavy. The sign is fixed by the labels:
a probe that reads high on negatives has failed, and nothing turns it round.

How good a probe is, is measured on folds it was not trained on, and a pair of vectors counts only if both are of the
same fold: scores of different folds come from different probes, and pooling them would put a probe of nothing below
chance (Airola et al., 2011, "An experimental comparison of cross-validation techniques for estimating the area under
the ROC curve").
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from audit_env.errors import ParameterError
from audit_env.stats import Difference, measured_difference
from audit_env.tools.white_box.words import Floats

Labels = NDArray[np.bool_]

Method = Literal["mean", "logistic"]
METHODS: tuple[Method, ...] = get_args(Method)

C = 0.1
"""Inverse strength of the L2 penalty of logistic regression."""
WHITEN_ABOVE = 2
"""Vectors per dimension, above which the difference of means is whitened."""
FOLDS, PARTITIONS = 5, 4
"""Folds of a partition, fewer where a group is smaller; and how many seeded partitions are averaged."""
SHUFFLES = 40
NEWTON_STEPS = 25


@dataclass(frozen=True, eq=False)
class Probe:
    """A direction, scaled so that the average positive of its training reads 1 and the average negative 0."""

    weights: Floats
    """`[d_model]`"""
    offset: float

    def read(self, vectors: Floats) -> Floats:
        """Score vectors.

        Args:
            vectors: `[n, d_model]`

        Returns:
            `[n]`
        """
        scores: Floats = vectors.astype(np.float64) @ self.weights + self.offset
        return scores


@dataclass(frozen=True, eq=False)
class HeldOut:
    """How well a probe tells vectors apart that it was not trained on."""

    auroc: float
    """Chance that a positive scores above a negative of the same fold, ties counting half."""
    placements: Floats
    """For each vector the share of its pairs that came out right, `[n]`."""
    labels: Labels
    """`[n]`"""

    def above(self, other: "HeldOut") -> Difference:
        """How much larger this area is than another one on the same labels.

        The standard error is that of DeLong et al. (1988), from the placements of both on the same vectors.

        Args:
            other: The other.

        Returns:
            The difference.
        """
        gaps = self.placements - other.placements
        groups = [gaps[self.labels == label] for label in (True, False)]
        error = float(np.sqrt(sum(group.var(ddof=1) / len(group) for group in groups)))
        return measured_difference(self.auroc - other.auroc, error, len(gaps), min(map(len, groups)))


def trained(vectors: Floats, labels: Labels, method: Method) -> Probe:
    """Train a probe.

    Args:
        vectors: `[n, d_model]`
        labels: Which of them are positive, `[n]`; both groups have members.
        method: How (see the module's text).

    Returns:
        The probe.

    Raises:
        ParameterError: If the groups are the same to the method, and there is no direction between them.
    """
    vectors = vectors.astype(np.float64)
    weights = _METHODS[method](vectors, labels)
    projected = vectors @ weights
    high, low = projected[labels].mean(), projected[~labels].mean()
    if not np.isfinite(high - low) or high - low <= 1e-12 * max(1.0, float(np.abs(projected).max())):
        raise ParameterError(
            "The positive and the negative examples have the same activations here: "
            "give examples that differ, or read another layer."
        )
    return Probe(weights / (high - low), float(-low / (high - low)))


def held_out(vectors: Floats, labels: Labels, method: Method, seed: int) -> HeldOut:
    """Measure a method on folds that it was not trained on.

    Args:
        vectors: `[n, d_model]`
        labels: Which of them are positive, `[n]`; at least two of each group.
        method: How the probes are trained.
        seed: Seed of the partitions.

    Returns:
        The area under the ROC curve, averaged over partitions.
    """
    rng = np.random.default_rng(seed)
    wins, pairs = np.zeros(len(labels)), np.zeros(len(labels))
    for _ in range(PARTITIONS):
        fold = _folds(labels, rng)
        for number in range(fold.max() + 1):
            out = fold == number
            scores = vectors[out] @ _METHODS[method](vectors[~out], labels[~out])
            high, low = (np.flatnonzero(out & (labels == label)) for label in (True, False))
            ours, theirs = scores[labels[out]], scores[~labels[out]]
            won = (ours[:, None] > theirs) + 0.5 * (ours[:, None] == theirs)
            wins[high] += won.sum(axis=1)
            wins[low] += won.sum(axis=0)
            pairs[high] += len(low)
            pairs[low] += len(high)
    return HeldOut(float(wins[labels].sum() / pairs[labels].sum()), wins / pairs, labels)


def shuffled(vectors: Floats, labels: Labels, method: Method, seed: int) -> Floats:
    """What the same method reaches on labels that mean nothing.

    Args:
        vectors: `[n, d_model]`
        labels: The labels that are shuffled, `[n]`.
        method: How the probes are trained.
        seed: Seed of the shuffles.

    Returns:
        The held-out area of each shuffle, ascending, `[SHUFFLES]`.
    """
    rng = np.random.default_rng(seed)
    found = [held_out(vectors, rng.permutation(labels), method, seed + 1 + one).auroc for one in range(SHUFFLES)]
    return np.sort(found)


def _difference_of_means(vectors: Floats, labels: Labels) -> Floats:
    n, d = vectors.shape
    apart: Floats = vectors[labels].mean(axis=0) - vectors[~labels].mean(axis=0)
    if n <= WHITEN_ABOVE * d:
        return apart
    centred = np.concatenate([group - group.mean(axis=0) for group in (vectors[labels], vectors[~labels])])
    # The least-squares solution, since a coordinate that never varies makes the covariance singular.
    whitened: Floats = np.linalg.lstsq(centred.T @ centred / (n - 2), apart, rcond=1e-10)[0]
    return whitened


def _logistic(vectors: Floats, labels: Labels) -> Floats:
    spread = vectors.std(axis=0)
    scale = np.divide(1.0, spread, where=spread > 1e-12, out=np.zeros_like(spread))
    x = (vectors - vectors.mean(axis=0)) * scale
    # The solution lies in the span of the vectors, which has fewer dimensions than the residual stream as a rule.
    left, sizes, basis = np.linalg.svd(x, full_matrices=False)
    reduced = np.column_stack([left * sizes, np.ones(len(x))])
    penalty = np.r_[np.ones(len(sizes)), 0.0] / C
    solution = np.zeros(reduced.shape[1])
    for _ in range(NEWTON_STEPS):
        p = 0.5 * (1 + np.tanh(reduced @ solution / 2))
        gradient = reduced.T @ (p - labels) + penalty * solution
        curvature = (reduced.T * (p * (1 - p))) @ reduced + np.diag(penalty + 1e-9)
        step = np.linalg.solve(curvature, gradient)
        solution -= step
        if np.abs(step).max() < 1e-8:
            break
    weights: Floats = (solution[:-1] @ basis) * scale
    return weights


_METHODS: dict[Method, Callable[[Floats, Labels], Floats]] = {"mean": _difference_of_means, "logistic": _logistic}


def _folds(labels: Labels, rng: np.random.Generator) -> NDArray[np.int64]:
    """A fold for each vector, both groups dealt evenly."""
    count = min(FOLDS, int(labels.sum()), int((~labels).sum()))
    fold = np.zeros(len(labels), dtype=np.int64)
    for label in (True, False):
        members = rng.permutation(np.flatnonzero(labels == label))
        fold[members] = np.arange(len(members)) % count
    return fold
