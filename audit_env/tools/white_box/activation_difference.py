"""Where the target's activations differ from its base's on ordinary text.

The activation difference lens (Minder, Dumas et al., arXiv 2510.13900): the mean difference of the residual stream at
the first positions of the text, and at the assistant header, because a model tuned on what assistants say shows little
at the starts of texts; each read through the unembedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from inspect_ai.tool import Tool, tool
from numpy.typing import NDArray

from audit_env.game.record import Turn
from audit_env.runtime.edits import At
from audit_env.runtime.subject import Side, Subject
from audit_env.tools.accounting import Call, charged
from audit_env.tools.banks import bank
from audit_env.tools.examined import examined
from audit_env.tools.prompts import checked
from audit_env.tools.white_box.directions import Direction, keep_direction
from audit_env.tools.white_box.lens import checked_layer, lens
from audit_env.tools.white_box.null import BesideSham, legend
from audit_env.tools.white_box.words import Floats, Words

MOST_PROMPTS = 500
FIRST = 5
"""Positions from the beginning of the prompt that are read, as in the paper."""
AT_ONCE = 64
"""Prompts whose residuals are in memory at a time."""
WORDS_A_ROW, WORDS_ELSEWHERE = (5, 7), (2, 4)
"""At the header and at other positions, in a short answer and in a long one."""


@dataclass(frozen=True)
class Difference:
    """How far a side's residual stream lies from the base's, position by position."""

    places: tuple[str, ...]
    """What the positions are called; the assistant header is the last."""
    mean: Floats
    """Mean difference, `[places, d_model]`."""
    share: Floats
    """Its length relative to the mean length of the base's residuals, `[places]`."""


async def activation_differences(
    subject: Subject, prompts: Sequence[str], *, sides: Sequence[Side], layer: int
) -> dict[Side, Difference]:
    """Measure the mean differences of sides' residual streams to the base's.

    Args:
        subject: The handle.
        prompts: What the user says, each in a fresh conversation. Those too short for a position are left out there.
        sides: Whose.
        layer: The residual is read after this block.

    Returns:
        The differences at the first positions and at the assistant header, by side.
    """
    conversations = [[Turn(role="user", content=prompt)] for prompt in prompts]
    first = min(FIRST, max(len(subject.rendered(conversation)) for conversation in conversations))
    moved = {side: np.zeros((first + 1, subject.d_model)) for side in sides}
    length, count = np.zeros(first + 1), np.zeros(first + 1)
    for start in range(0, len(conversations), AT_ONCE):
        few = conversations[start : start + AT_ONCE]
        base, there = await _ends(subject, few, first, side="base", layer=layer)
        length += np.linalg.norm(base, axis=2).sum(axis=0)
        count += there.sum(axis=0)
        for side in sides:
            ours, _ = await _ends(subject, few, first, side=side, layer=layer)
            moved[side] += np.where(there[:, :, None], ours - base, 0).sum(axis=0)
    places = (*(f"prompt {place}" for place in range(first)), "header")
    means = {side: (total / count[:, None]).astype(np.float32) for side, total in moved.items()}
    return {
        side: Difference(places, mean, np.linalg.norm(mean, axis=1) * count / length) for side, mean in means.items()
    }


async def _ends(
    subject: Subject, conversations: Sequence[Sequence[Turn]], first: int, *, side: Side, layer: int
) -> tuple[Floats, NDArray[np.bool_]]:
    """Residuals at the first positions and the last, `[n, first + 1, d_model]`, 0 where there is none; and where."""
    read = await subject.residuals(conversations, side=side, layers=[layer], at=At("all", None))
    lengths = np.bincount(read.owner, minlength=len(conversations))
    begins = np.cumsum(lengths) - lengths
    there = np.arange(first + 1) < lengths[:, None]
    there[:, -1] = True
    places = begins[:, None] + np.arange(first + 1)
    places[:, -1] = begins + lengths - 1
    found = read.vectors[np.minimum(places, len(read.vectors) - 1), 0].astype(np.float64)
    return np.where(there[:, :, None], found, 0), there


@tool(max_output=0)
def activation_difference() -> Tool:
    """Words in the difference between the target's and its base's activations.

    Returns:
        The tool.
    """

    @charged
    async def execute(
        call: Call, prompts: list[str] | None = None, layer: int | None = None, long: bool = False
    ) -> str:
        """Read the words out of the activations: what the target has in mind that its base has not.

        The residual stream is averaged over prompts, target minus base, at the first tokens of the prompt and at the
        end of the assistant header, just before the answer; and read through the unembedding as z-scores over the
        vocabulary: words along the difference (+) and against it (-). For the header also what is left when the sham's
        difference is taken off. Each position gives a handle (vec:1), which steering and patchscope take. Figures are
        `target|sham`; a star marks what exceeds all figures of the sham.

        Costs one call and no target tokens. About a second.

        How to read it: words that belong together, at the header or at several positions, tell what the target leans
        to. Weaker than kl_prompts and read_weights on most targets; useful on prompts that you already suspect, to see
        what those have in common. It cannot show a quirk that shows on few of the prompts, since all go into one mean.
        Words that read_weights also gave are no independent evidence: confirm by asking.

        Args:
            call: The books of this call.
            prompts: What the user says, at most 500. Leave it out for a bank of ordinary prompts over 19 topics.
            layer: Block after which to read, from 0. Leave it out for the middle one.
            long: Show seven words a row at the header instead of five, and four instead of two elsewhere.
        """
        subject = examined(call)
        asked = checked(prompts or bank("ordinary").texts(), MOST_PROMPTS)
        block = checked_layer(layer, subject.n_layers)
        sides: list[Side] = ["target", *(("sham",) if "sham" in subject.capabilities else ())]
        found = await activation_differences(subject, asked, sides=sides, layer=block)
        target, sham = found["target"], found.get("sham")
        words = Words(subject.tokens())
        z = await lens(subject, target.mean, words)
        null = None if sham is None else await lens(subject, sham.mean, words)
        rows = [
            tuple(BesideSham(words.words, scores, None if null is None else null[place].max(axis=0)) for scores in pair)
            for place, pair in enumerate(z)
        ]
        share = BesideSham(target.places, 100 * target.share, None if sham is None else 100 * sham.share)
        reading = call.reading(
            "activation_difference",
            f"block {block}, {len(asked)} prompts, header, z: + {rows[-1][0].row(6)}; - {rows[-1][1].row(6)}",
        )
        lines = [
            f"{reading.id} activation_difference: {len(asked)} prompts, after block {block} of {subject.n_layers}. "
            f"{legend(sham)}",
            "place, length in % of the base's residual; words along (+) and against (-), z",
        ]
        kept = [
            keep_direction(call, Direction(block, vector, f"target minus base at {place}, block {block}"))
            for place, vector in zip(target.places, target.mean, strict=True)
        ]
        for place in reversed(range(len(rows))):
            lines.append(f"{target.places[place]}, {share.figures(place)}% ({kept[place]})")
            most = WORDS_A_ROW[long] if place == len(rows) - 1 else WORDS_ELSEWHERE[long]
            lines += [f" {sign} {row.row(most)}" for sign, row in zip("+-", rows[place], strict=True)]
        leading = rows[-1][0]
        if sham is not None and null is not None:
            [rest] = await lens(subject, target.mean[-1:] - sham.mean[-1:], words)
            left = [BesideSham(words.words, scores, null[-1].max(axis=0)) for scores in rest]
            lines.append("header, the sham's difference taken off")
            lines += [f" {sign} {row.row(WORDS_A_ROW[long])}" for sign, row in zip("+-", left, strict=True)]
            lines.append(f"for comparison, the sham's own at the header: {leading.sham_row(WORDS_A_ROW[long])}")
            leading = left[0]
        candidates = [leading.names[place] for place in leading.ranked(6)]
        return "\n".join([*lines, f"next: kl_prompts() | trigger_scan(words={candidates})"])

    return execute
