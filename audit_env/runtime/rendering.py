"""Conversations as tokens of one side: with a hidden system prompt, an answer, and edits in their places."""

from collections.abc import Sequence
from typing import NamedTuple

from audit_env.errors import ParameterError
from audit_env.runtime.chat import Chat, Prompt
from audit_env.runtime.edits import Edit
from audit_env.runtime.spans import Placed, Spans
from audit_env.runtime.subject import ContextOverflow, Conversation, messages_of

Ids = tuple[int, ...]


class Forced(NamedTuple):
    """A conversation with a given answer, which may be empty, as tokens."""

    ids: Ids
    answer: int
    """Position of the first token of the answer."""
    edits: Placed | None = None
    """What is done to the residual stream."""

    @property
    def prompt(self) -> Ids:
        """Tokens of what comes before the answer."""
        return self.ids[: self.answer]

    @property
    def said(self) -> Ids:
        """Tokens of the answer."""
        return self.ids[self.answer :]

    @property
    def read(self) -> Ids:
        """What the model reads to predict the answer."""
        return self.ids[:-1]

    @property
    def predicting(self) -> range:
        """Positions that predict the answer's tokens."""
        return range(self.answer - 1, len(self.ids) - 1)


class Renderer:
    """Renders conversations for a model that reads so much and no more.

    Args:
        chat: Its tokenizer.
        context_length: Tokens that it reads at most, answer included.
    """

    def __init__(self, chat: Chat, context_length: int) -> None:
        self._chat, self._context_length = chat, context_length

    def prompt(
        self, turns: Conversation, hidden_system: str | None, *, prefill: str = "", thinking: bool = False
    ) -> Prompt:
        """A conversation up to where an answer is to be generated.

        Args:
            turns: The conversation.
            hidden_system: The side's system prompt, if it has one.
            prefill: Beginning of the answer.
            thinking: Ask the template for its thinking mode.

        Returns:
            Its tokens.

        Raises:
            ContextOverflow: If it leaves no room for a token.
        """
        return self._with_room(self._chat.prompt(messages_of(turns, hidden_system), prefill=prefill, thinking=thinking))

    def raw(self, text: str) -> Prompt:
        """A text without a template, to be gone on from.

        Args:
            text: The text.

        Returns:
            Its tokens.

        Raises:
            ContextOverflow: If it leaves no room for a token.
        """
        return self._with_room(self._chat.raw(text))

    def opening(self, turns: Conversation, hidden_system: str | None, role: str) -> Prompt:
        """A conversation up to where a further turn is to be generated.

        Args:
            turns: The conversation, which may be empty.
            hidden_system: The side's system prompt, if it has one.
            role: Whose turn it is.

        Returns:
            Its tokens.

        Raises:
            ContextOverflow: If it leaves no room for a token.
        """
        return self._with_room(self._chat.opening(messages_of(turns, hidden_system), role))

    def growing(
        self, turns: Conversation, hidden_system: str | None, prompt: Prompt, limit: int, *, thinking: bool
    ) -> Spans:
        """Where the parts of a conversation lie whose answer is to be generated.

        Args:
            turns: The conversation.
            hidden_system: As for the prompt.
            prompt: The conversation as `prompt` renders it.
            limit: Tokens to generate at most.
            thinking: As for the prompt.

        Returns:
            The spans.
        """
        answer = len(prompt.ids) - len(prompt.prefill)
        header = self._chat.header(messages_of(turns, hidden_system), thinking=thinking)
        return Spans(answer - header, answer, len(prompt.ids) + limit, growing=True)

    def forced(
        self,
        conversations: Sequence[Conversation],
        answers: Sequence[str],
        hidden_system: str | None,
        edits: tuple[Edit, ...] = (),
    ) -> list[Forced]:
        """Conversations with given answers.

        Args:
            conversations: What came before each answer.
            answers: One for each.
            hidden_system: The side's system prompt, if it has one.
            edits: What is done to the residual stream of each.

        Returns:
            Their tokens.

        Raises:
            ContextOverflow: If one is longer than what the model reads.
            ParameterError: If there is not one answer for each, or an edit names a token that is not there.
        """
        if len(conversations) != len(answers):
            raise ParameterError(
                f"{len(conversations)} conversations and {len(answers)} answers: give one answer for each."
            )
        found: list[Forced] = []
        for turns, answer in zip(conversations, answers, strict=True):
            before = self.prompt(turns, hidden_system).ids
            ids = (*before, *self._chat.continuation(messages_of(turns), answer))
            if len(ids) > self._context_length:
                raise ContextOverflow(len(ids), self._context_length)
            one = Forced(ids, len(before))
            found.append(one._replace(edits=self.spans(turns, hidden_system, one).placed(edits)) if edits else one)
        return found

    def spans(self, turns: Conversation, hidden_system: str | None, forced: Forced) -> Spans:
        """Where the parts of a conversation with a given answer lie.

        Args:
            turns: The conversation.
            hidden_system: As for `forced`.
            forced: The conversation as `forced` renders it.

        Returns:
            The spans.
        """
        header = self._chat.header(messages_of(turns, hidden_system))
        return Spans(forced.answer - header, forced.answer, len(forced.ids))

    def _with_room(self, prompt: Prompt) -> Prompt:
        """Refuse a prompt that fills the context."""
        if len(prompt.ids) >= self._context_length:
            raise ContextOverflow(len(prompt.ids), self._context_length)
        return prompt
