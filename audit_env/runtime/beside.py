"""What lies in a base's folder beside its weights, whichever engine computes it."""

from functools import cached_property
from pathlib import Path
from typing import Protocol

from audit_env.catalog.dictionaries import dictionaries_of
from audit_env.runtime.chat import Chat
from audit_env.runtime.dictionaries import Dictionary
from audit_env.runtime.lenses import TunedLens


class WithVocabulary(Protocol):
    """Sizes of a model, as far as they are needed here."""

    @property
    def vocab_size(self) -> int:
        """Tokens that there are."""
        ...


class BesideWeights:
    """Read when first asked for, then remembered."""

    folder: Path
    chat: Chat
    sizes: WithVocabulary

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """Every token as a reader sees it."""
        return tuple(self.chat.vocabulary(self.sizes.vocab_size))

    @cached_property
    def dictionaries(self) -> tuple[Dictionary, ...]:
        """Sparse dictionaries that lie beside the base, in the order of their layers."""
        return tuple(Dictionary.load(folder, card.sha256) for folder, card in dictionaries_of(self.folder).items())

    @cached_property
    def tuned_lens(self) -> TunedLens | None:
        """The lens that lies with the base, if there is one."""
        return TunedLens.beside(self.folder)
