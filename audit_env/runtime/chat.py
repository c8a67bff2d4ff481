"""Conversations to tokens and back, through the model's own chat template.

Notes on tokens. A conversation is rendered to text once and encoded without automatic special tokens, then given
exactly one BOS: templates that write it and tokenizers that add it would otherwise make two. What follows the
assistant header (a prefill, an answer to score) is rendered by the template too, because templates put spaces or line
breaks before it that the model was trained on. Header and continuation are encoded apart, as they are when the model
generates.
"""

from collections.abc import Hashable, Sequence
from functools import cached_property
from os.path import commonprefix
from pathlib import Path
from typing import Any, NamedTuple

from audit_env.errors import ParameterError, WeightsError
from audit_env.runtime.memo import Memo

Messages = list[dict[str, str]]
"""Turns as `messages_of` gives them."""

THINK = ("<think>", "</think>")
"""Marks of a thinking block. They stay in the text of an answer even where the tokenizer calls them special."""


_PLACE = "contentplace"
"""Stands for a turn's content where its header is looked for: lower-case, as some templates make all they are given."""

MEMO_TOKENS = 2**18
"""Of rendered prompts: several scans of a small model's vocabulary."""
MEMO_CHARACTERS = 2**20
"""Of conversations with a header after them."""
MEMO_HEADERS = 2**14
"""Conversations whose header has been measured."""


class Prompt(NamedTuple):
    """A rendered conversation, up to where the answer begins."""

    ids: tuple[int, ...]
    prefill: tuple[int, ...]
    """The last of `ids`: those of the prefill."""
    thinks: bool
    """Whether the header itself opens a thinking block."""


class Chat:
    """A tokenizer with its chat template."""

    def __init__(self, folder: Path) -> None:
        """Load the tokenizer of a Hugging Face folder.

        Args:
            folder: Holds `tokenizer.json`, `tokenizer_config.json` and a chat template.

        Raises:
            WeightsError: If a part is missing.
        """
        # Not AutoTokenizer: its registry of every architecture takes a second to import, and `tokenizer.json` says it
        # all.
        from transformers import PreTrainedTokenizerFast

        if not (folder / "tokenizer.json").is_file():
            raise WeightsError(f"{folder / 'tokenizer.json'} is missing: save the fast tokenizer beside the weights.")
        self._tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
        if not self._tokenizer.chat_template:
            raise WeightsError(f"{folder}: the tokenizer has no chat template; save chat_template.jinja beside it.")
        self._bos: int | None = self._tokenizer.bos_token_id
        # The wrapper's own `encode` takes five times as long, and a trigger scan renders thousands of prompts.
        self._encoder: Any = self._tokenizer.backend_tokenizer
        self._encoder.no_truncation()
        self._encoder.no_padding()
        # Every side is asked the same, and so is every organism of the base.
        self._prompts: Memo[Prompt] = Memo(MEMO_TOKENS, lambda prompt: len(prompt.ids))
        self._headers: Memo[int] = Memo(MEMO_HEADERS)
        # One answer is held against many system prompts, and rendered with each.
        self._asked: Memo[str] = Memo(MEMO_CHARACTERS, len)
        self._encoded: Memo[tuple[int, ...]] = Memo(MEMO_TOKENS, len)

    @cached_property
    def _hidden(self) -> frozenset[int]:
        """Special tokens that a reader does not see."""
        # `all_special_ids` knows only those with a role (BOS, EOS, ...), not the marks of a chat template.
        added = self._tokenizer.added_tokens_decoder
        return frozenset(token for token, mark in added.items() if mark.special and mark.content not in THINK)

    def prompt(self, conversation: Messages, *, prefill: str = "", thinking: bool = False) -> Prompt:
        """Render a conversation with the assistant header after it.

        Args:
            conversation: Turns; the last is not the assistant's.
            prefill: Beginning of the answer.
            thinking: Ask the template for its thinking mode.

        Returns:
            Token ids.

        Raises:
            ParameterError: If the template refuses the conversation.
        """
        key = _key(conversation, thinking), prefill
        return self._prompts.made(key, lambda: self._prompt(conversation, prefill, thinking))

    def _prompt(self, conversation: Messages, prefill: str, thinking: bool) -> Prompt:
        text = self._asking(conversation, thinking)
        begun = self.continuation(conversation, prefill, thinking=thinking)
        ids = self.encode(text)
        if self._bos is not None:
            ids = [self._bos, *_without_leading(ids, self._bos)]
        return Prompt((*ids, *begun), tuple(begun), text.rstrip().endswith(THINK[0]))

    def raw(self, text: str) -> Prompt:
        """A text as it stands, without a template: exactly one BOS, and the marks of turns that it spells itself.

        Args:
            text: What the model is to go on from.

        Returns:
            Token ids, all but the BOS as the prefill, so that what follows is read with its leading white space.

        Raises:
            ParameterError: If there is no token to go on from.
        """
        ids = self.encode(text)
        if self._bos is not None:
            ids = [self._bos, *_without_leading(ids, self._bos)]
        if not ids:
            raise ParameterError("The text to go on from is empty, and this model has no token that begins a text.")
        return Prompt(tuple(ids), tuple(ids[self._bos is not None :]), thinks=False)

    def opening(self, conversation: Messages, role: str) -> Prompt:
        """Render a conversation with the header of a further turn after it.

        Args:
            conversation: Turns; none for the first turn of all.
            role: Whose turn is opened, such as "user".

        Returns:
            Token ids, up to where the turn's content would stand.

        Raises:
            ParameterError: If the template refuses such a turn there.
        """
        whole = self._render([*conversation, {"role": role, "content": _PLACE}], thinking=False)
        # A tokenizer takes a space together with the word after it, which the model is to choose.
        ids = self.encode(whole[: whole.rindex(_PLACE)].rstrip(" "))
        if self._bos is not None:
            ids = [self._bos, *_without_leading(ids, self._bos)]
        return Prompt(tuple(ids), (), thinks=False)

    def header(self, conversation: Messages, *, thinking: bool = False) -> int:
        """How long the assistant header of a rendered conversation is.

        Args:
            conversation: As for the prompt.
            thinking: As for the prompt.

        Returns:
            Number of tokens that the template adds to ask for an answer: the last of the prompt, but for its prefill.
        """
        return self._headers.made(_key(conversation, thinking), lambda: self._header(conversation, thinking))

    def _header(self, conversation: Messages, thinking: bool) -> int:
        whole = self._asking(conversation, thinking)
        begin = len(commonprefix((self._render(conversation, thinking), whole)))
        # A token across the border counts as the header's.
        return sum(end > begin for _, end in self._encoder.encode(whole, add_special_tokens=False).offsets)

    def continuation(self, conversation: Messages, text: str, *, thinking: bool = False) -> list[int]:
        """Token ids of a text as it stands after the assistant header of a conversation.

        Args:
            conversation: What came before.
            text: What the assistant says, whole or in part.
            thinking: As for the prompt.

        Returns:
            Token ids, without an end of turn.
        """
        if not text.strip():
            return []
        header = self._asking(conversation, thinking)
        said = {"role": "assistant", "content": text}
        whole = self._render([*conversation, said], thinking, continue_final_message=True)
        begun = whole.removeprefix(header) if whole.startswith(header) else text
        return list(self._encoded.made(begun, lambda: tuple(self.encode(begun))))

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens added."""
        ids: list[int] = self._encoder.encode(text, add_special_tokens=False).ids
        return ids

    def read(self, ids: Sequence[int], prompt: Prompt) -> str:
        """An answer as a reader sees it (see `Sample.text`).

        Args:
            ids: Generated tokens.
            prompt: What they follow.

        Returns:
            The text.
        """
        if not prompt.prefill:
            text = self._decode(ids).strip()
            return THINK[0] + text if prompt.thinks else text
        # Decoded together, since a tokenizer may drop the space before the first token of a text.
        return self._decode((*prompt.prefill, *ids)).removeprefix(self._decode(prompt.prefill)).rstrip()

    def vocabulary(self, size: int) -> list[str]:
        """Every token as a reader sees it, special tokens by name.

        Args:
            size: Rows of the embedding, of which the tokenizer may know fewer.

        Returns:
            `size` strings.
        """
        known = len(self._tokenizer)
        return [self._tokenizer.decode([token]) if token < known else f"<unused {token}>" for token in range(size)]

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode([token for token in ids if token not in self._hidden])
        return text

    def _asking(self, conversation: Messages, thinking: bool) -> str:
        """A conversation with the assistant header after it."""
        key = _key(conversation, thinking)
        return self._asked.made(key, lambda: self._render(conversation, thinking, add_generation_prompt=True))

    def _render(self, messages: Messages, thinking: bool, **options: bool) -> str:
        from jinja2 import TemplateError

        thought = {"enable_thinking": True} if thinking else {}
        try:
            text: str = self._tokenizer.apply_chat_template(messages, tokenize=False, **options, **thought)
        except TemplateError as error:
            raise ParameterError(f"The model's chat template refuses this conversation: {error}") from error
        return text


def _key(conversation: Messages, thinking: bool) -> Hashable:
    return tuple((turn["role"], turn["content"]) for turn in conversation), thinking


def _without_leading(ids: list[int], token: int) -> list[int]:
    start = next((place for place, id_ in enumerate(ids) if id_ != token), len(ids))
    return ids[start:]
