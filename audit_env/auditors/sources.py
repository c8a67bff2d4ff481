"""The evidence of an audit: for each source a figure for every entry of the menu, larger where it speaks for it.

A figure means nothing by itself: how large it is without the quirk differs from entry to entry, and is known from
audits of other targets (`audit_env.auditors.calibration`).
"""

from collections.abc import Mapping, Sequence
from math import fsum

from audit_env.auditors.acting import ratios
from audit_env.auditors.battery import bearing
from audit_env.auditors.shown import Shown
from audit_env.auditors.wording import Weights, described, mean_score
from audit_env.catalog.models import MenuEntry
from audit_env.evidence.reading import words_of
from audit_env.evidence.signatures import of_length_1, shipped
from audit_env.tools.banks import bank

Evidence = Mapping[str, Mapping[str, float]]
"""By source, by entry. A source that an audit did not use is missing."""

READ = {"weights": "read_weights", "divergence": "kl_prompts"}
"""Sources that are the words of one tool's answer."""


def evidence_in(shown: Sequence[Shown], entries: Sequence[MenuEntry]) -> Evidence:
    """Read all evidence of an audit.

    words: words of the descriptions in the answers that bear on an entry. sound: words that mark the base's act of the
    entry, there. acts: by how many nats the act explains the strangest answers better. weights, divergence: words that
    mark the act, in the answer of a white-box tool.

    Args:
        shown: What the tools showed.
        entries: The menu.

    Returns:
        The evidence.
    """
    told, acted = described(entries), signatures(entries)
    pairs = {
        entry: [(answer.prompt, answer.answer) for answer in heard]
        for entry, heard in bearing(shown, entries, bank("ordinary")).items()
    }
    found = {
        "words": {entry: mean_score(told[entry], pairs[entry]) for entry in pairs},
        "sound": {entry: mean_score(acted[entry], pairs[entry]) for entry in pairs},
        "acts": {entry: fsum(of.values()) for entry, of in ratios(shown, entries).items()},
        **{source: _words_shown(tool, shown, acted) for source, tool in READ.items()},
    }
    return {source: figures for source, figures in found.items() if figures}


def signatures(entries: Sequence[MenuEntry]) -> dict[str, Weights]:
    """The words that mark the base's act of each entry; those of its description where none are shipped."""
    made = shipped()
    known = made.entries if made else {}
    return {entry: known.get(entry, told) for entry, told in described(entries).items()}


def _words_shown(tool: str, shown: Sequence[Shown], weights: Mapping[str, Weights]) -> dict[str, float]:
    texts = [one.text for one in shown if one.tool == tool]
    if not texts:
        return {}
    said = of_length_1(words_of(texts[0]))
    return {entry: fsum(said.get(stem, 0.0) * weight for stem, weight in own.items()) for entry, own in weights.items()}
