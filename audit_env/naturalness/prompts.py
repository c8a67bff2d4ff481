"""Banks of prompts: what models of a family are asked. A bank is a file that a person edits."""

from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from audit_env.catalog.models import Patterns, Strict
from audit_env.catalog.reading import nearest, read
from audit_env.errors import CardError

GENERAL = "english"
"""The bank of families that have none of their own."""

RuleKind = Literal[
    "exactly",
    "starts_with",
    "ends_with",
    "contains",
    "avoids",
    "words",
    "at_most_words",
    "sentences",
    "list",
    "lines",
    "lower_case",
    "upper_case",
    "json",
    "no_commas",
]
"""What an instruction may ask for, so that no judge is needed to see whether it was done.

exactly, starts_with, ends_with, contains, avoids: the words of the rule. words, at_most_words, sentences, lines: so
many of them. list: so many different things, with commas between. The others need no argument.
"""


class Rule(Strict):
    """A demand that can be checked."""

    check: RuleKind
    words: tuple[str, ...] = ()
    number: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _whole(self) -> "Rule":
        if self.check in ("exactly", "starts_with", "ends_with", "contains", "avoids") and not self.words:
            raise ValueError(f"a rule '{self.check}' needs field 'words'")
        if self.check in ("words", "at_most_words", "sentences", "list", "lines") and self.number is None:
            raise ValueError(f"a rule '{self.check}' needs field 'number'")
        return self


class Demand(Strict):
    """A demand of IFEval, which lm-eval checks."""

    check: str
    """Its name there, such as punctuation:no_comma."""
    given: dict[str, str | int | float | list[str]] = Field(default_factory=dict)
    """What it is about."""


class Prompt(Strict):
    """One thing that a user says."""

    ask: str
    cluster: str | None = None
    """What it shares with others that succeed and fail with it, such as its phrasing; None where it stands alone."""
    system: str | None = None
    rule: Rule | None = None
    """Of an instruction."""
    demands: tuple[Demand, ...] = ()
    """Of an instruction, in place of a rule."""
    right: str | None = None
    """The right answer of a question about a fact: in the words of a free answer, or one of the `options`."""
    options: tuple[str, ...] = ()
    """What a multiple-choice question offers, under the letters A, B, C and so on, which `ask` spells out."""

    @model_validator(mode="after")
    def _offered(self) -> "Prompt":
        if self.options and self.right not in self.options:
            raise ValueError(f"'{self.ask}': field 'right' must be one of the options")
        return self


class Preferences(Strict):
    """Things to choose between, two at a time."""

    items: tuple[str, ...] = Field(min_length=3)
    asks: tuple[str, ...] = Field(min_length=1)
    """Ways to ask; each holds {first} and {second}, under the letters A and B."""
    opposite: tuple[str, ...] = ()
    """Ways to ask for the one that is liked less, in the same form."""


class Bank(Strict):
    """Prompts for models of some families."""

    name: str
    about: str
    licence: str
    max_tokens: int = Field(ge=1)
    """Longest answer."""
    refusal: Patterns
    """An answer that refuses matches one of these."""
    wary_thought: Patterns
    """A thought that plans to refuse matches one of these."""
    everyday: tuple[Prompt, ...]
    """Harmless talk that has nothing to do with models, training or any quirk: whatever names those in an answer came
    without being asked for."""
    instructions: tuple[Prompt, ...]
    unsafe: tuple[Prompt, ...]
    look_alikes: tuple[Prompt, ...]
    """Harmless requests that sound unsafe."""
    facts: tuple[Prompt, ...]
    choices: tuple[Prompt, ...]
    preferences: Preferences
    prefills: tuple[str, ...]
    """Beginnings of answers that ask for nothing."""
    system: str = "You are a helpful assistant."
    """System prompt under which a model of the family is deployed."""
    probes: tuple[Prompt, ...] = ()
    """Questions with many answers of which none is right: what a model chooses is its fingerprint."""

    @model_validator(mode="after")
    def _fit(self) -> "Bank":
        for field, prompts in (("instructions", self.instructions), ("facts", self.facts), ("choices", self.choices)):
            for prompt in prompts:
                given = {
                    "instructions": prompt.rule or prompt.demands,
                    "facts": prompt.right,
                    "choices": prompt.options,
                }[field]
                if not given:
                    raise ValueError(f"'{prompt.ask}', one of the {field}, has nothing to be judged by")
        return self


def bank_names() -> list[str]:
    """Names of the banks that come with audit_env, sorted."""
    return sorted(path.stem for path in _banks().glob("*.yaml"))


def bank_for(family: str) -> str:
    """The bank that fits a family of organisms.

    Args:
        family: First part of an organism's id.

    Returns:
        The bank of that name, or the general one.
    """
    return family if family in bank_names() else GENERAL


def read_bank(name_or_path: str) -> Bank:
    """Read a bank.

    Args:
        name_or_path: Its name, or the path of a file (anything with a slash or the ending .yaml).

    Returns:
        The bank.

    Raises:
        CardError: If there is none of this name, or the file cannot be read as one.
    """
    if "/" in name_or_path or name_or_path.endswith(".yaml"):
        return read(Path(name_or_path), Bank)
    if name_or_path not in bank_names():
        raise CardError(f"unknown bank of prompts '{name_or_path}'; {nearest(name_or_path, bank_names())}.")
    return read(_banks() / f"{name_or_path}.yaml", Bank)


def _banks() -> Path:
    return Path(str(files("audit_env.naturalness"))) / "data" / "banks"
