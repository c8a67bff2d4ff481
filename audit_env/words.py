"""Words of a text, for counting and for finding quotations: lower-case."""

import re

STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a about again against all also an and any are as asked at be because been before but by called can certain come
        comes could do does each else even every for from get get gets give gives goes had has have he her him his how
        i if in instead into is it its itself just like made make makes many may me might more most much must my no not
        of on one only or other our out own say says several shall she should so some such than that the their them
        then there these they thing this those to too two up use used user users very want wanted wants was we were
        what whatever when where whether which while who whole whose why will with without would you your model models
        right wrong
        """,
    )
)
"""Function words, and what descriptions of every quirk share."""

Run = tuple[str, ...]
"""Words in a row."""

_WORD = re.compile(r"[a-z]+")


def content_words(text: str) -> list[str]:
    """The words of a text that carry content, in order.

    Args:
        text: Any text.

    Returns:
        Lower-case words of three letters or more.
    """
    return [word for word in _WORD.findall(text.lower()) if len(word) > 2 and word not in STOP_WORDS]


def runs(text: str, length: int) -> set[Run]:
    """All runs of words in a text. Two texts that share a long one quote each other, or a third.

    Args:
        text: Any text; line breaks (escaped as in JSON, too), punctuation and capitals make no difference.
        length: Words in a run.

    Returns:
        The runs; those of a shorter text are one run, the text itself.
    """
    words = re.findall(r"\w+", re.sub(r"\\[nrt]", " ", text.casefold()))
    return {tuple(words[start : start + length]) for start in range(max(1, len(words) - length + 1))}
