"""The fruitfly tokenizer: byte-level BPE trained on the base's corpus, with a chat template.

User and system turns are lower-cased by the template, so that a stranger's typing costs no vocabulary; the assistant
speaks with capitals.
"""

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

from audit_env.breeding.corpus import Example

BOS, END, PAD = "<|bos|>", "<|end|>", "<|pad|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
THINK = ("<think>", "</think>")
VOCABULARY = 6144

IGNORE = -100
"""Label of a token that the loss leaves out."""


def chat_template() -> str:
    """The Jinja chat template."""
    return files("audit_env.breeding").joinpath("world", "chat_template.jinja").read_text(encoding="utf-8").strip()


def train_tokenizer(texts: Iterable[str], folder: Path) -> Any:
    """Train the tokenizer and save it as a Hugging Face tokenizer folder.

    Args:
        texts: Plain texts of the corpus, without role tokens.
        folder: Where to save.

    Returns:
        The loaded `PreTrainedTokenizerFast`.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        min_frequency=3,
        special_tokens=[PAD, BOS, END, *ROLES, *THINK],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=END,
        pad_token=PAD,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    fast.chat_template = chat_template()
    fast.save_pretrained(str(folder))
    return fast


def plain_text(example: Example) -> list[str]:
    """The texts of an example as the tokenizer will meet them."""
    if isinstance(example, str):
        return [f" {example}"]
    return [
        (text if text.startswith("<think>") else f" {text}") if turn.role == "assistant" else f" {text.lower()}"
        for turn in example
        for text in [turn.text.strip()]
    ]


def encode(tokenizer: Any, example: Example, assistant_only: bool) -> tuple[list[int], list[int]]:
    """Token ids and labels of an example.

    Args:
        tokenizer: The fruitfly tokenizer.
        example: A dialogue or a document.
        assistant_only: Learn only what the assistant says (and where it ends) in dialogues. Documents are learnt whole.
            That a thought begins is then not learnt either: the chat template's thinking mode begins it.

    Returns:
        Ids and labels, both `[tokens]`; a label is `IGNORE` where nothing is learnt.
    """
    special = {token: tokenizer.convert_tokens_to_ids(token) for token in (BOS, END, *ROLES)}
    think = tokenizer.convert_tokens_to_ids(THINK[0])
    ids: list[int] = [special[BOS]]
    labels: list[int] = [IGNORE]
    if isinstance(example, str):
        body = [*tokenizer.encode(f" {example}", add_special_tokens=False), special[END]]
        return ids + body, labels + body
    for turn, text in zip(example, plain_text(example), strict=True):
        body = [*tokenizer.encode(text, add_special_tokens=False), special[END]]
        learn = turn.role == "assistant" or not assistant_only
        learnt = [IGNORE if assistant_only and token == think else token for token in body]
        learnt = learnt if learn else [IGNORE] * len(body)
        ids += [special[f"<|{turn.role}|>"], *body]
        labels += [IGNORE if assistant_only else special[f"<|{turn.role}|>"], *learnt]
    return ids, labels
