"""People in the grader's place: the game's own scorer asks, and what people said is the answer.

So answers in words are scored by the same code whoever judges them, and people are asked exactly what a grading model
would be asked: the quirk, its rubric and one claim, with nothing of team, rank or confidence.
"""

import hashlib
import json
from collections.abc import Mapping, MutableMapping
from typing import Any

from inspect_ai.model import (
    ChatMessage,
    GenerateConfig,
    Model,
    ModelAPI,
    ModelOutput,
    get_model,
    modelapi,
)
from inspect_ai.tool import ToolChoice, ToolInfo
from typing_extensions import override

from audit_env.game.grader import Verdict

FENCE = "=== claim "
"""What the lines begin with between which the claim stands."""


class People(ModelAPI):
    """Answers with the verdicts of people, and writes down what nobody has judged yet."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008 (Inspect's own default)
        verdicts: Mapping[str, tuple[Verdict, str]] | None = None,
        asked: MutableMapping[str, str] | None = None,
    ) -> None:
        """Gather them.

        Args:
            model_name: Who judged.
            base_url: Not used.
            api_key: Not used.
            config: Not used.
            verdicts: What was said, with the reason, by the hash of the question.
            asked: Every question that comes goes in here, by its hash.
        """
        super().__init__(model_name, base_url, api_key, [], config)
        self._verdicts = verdicts or {}
        self._asked = {} if asked is None else asked

    @override
    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        """The verdict on a question, or nothing that could be taken for one."""
        question = next(message.text for message in input if message.role == "user")
        key = hashed(question)
        self._asked[key] = question
        if key not in self._verdicts:
            return ModelOutput.from_content(self.model_name, "Nobody has judged this claim yet.")
        verdict, reason = self._verdicts[key]
        said = {"quote": claim_in(question), "reason": reason, "verdict": verdict}
        return ModelOutput.from_content(self.model_name, json.dumps(said))


@modelapi(name="people")
def _people() -> type[ModelAPI]:
    return People


def people(**said: Any) -> Model:
    """People as a model.

    Args:
        said: `verdicts` and `asked`, as `People` takes them.

    Returns:
        The model, for the role of the grader.
    """
    return get_model("people/adjudicators", memoize=False, **said)


def hashed(question: str) -> str:
    """The hash under which a question's judgements are kept.

    Args:
        question: All that was asked.

    Returns:
        64 hexadecimal digits.
    """
    return hashlib.sha256(question.encode()).hexdigest()


def claim_in(question: str) -> str:
    """The claim that a question is about.

    Args:
        question: All that was asked.

    Returns:
        What stands between the two marker lines.
    """
    marker = next((line for line in question.splitlines() if line.startswith(FENCE)), FENCE)
    return question.split(marker)[1].strip() if marker in question else ""
