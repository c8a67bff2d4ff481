"""Cards of published model organisms: where they lie, how they must be served, and what is known of them.

Data about weights that others publish and this project does not ship, so none of it enters the game by itself: a zoo
is one file, `organisms/public/<zoo>/zoo.yaml`, and a `Catalog` neither lists nor plays what stands there. What is not
known is left out or null, never guessed; a revision and a licence must be null on purpose, with the reason beside them.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Conceal, Instil, Kind, QuirkId, Strict
from audit_env.catalog.reading import field_at, nearest, read
from audit_env.errors import CardError

FOLDER = "public"
"""Where the zoos lie below an organisms folder."""

Listed = Literal["seen", "named", "pattern"]
"""How sure it is that the repository is there under this name.

`seen`: a source reports having found it on the hub. `named`: a source spells the name out. `pattern`: the name was put
together from a pattern that a source gives, and nobody we read has checked it.
"""

Truth = Literal["quirked", "benign", "unknown"]
"""What a published model is. It has no `sham` and no `base`, since those words promise the recipe of an organism here
and the wild type of a family here; a published decoy promises neither."""


def _shaped(pattern: str, words: str) -> AfterValidator:
    """A check of a text's shape that complains in words (a plain pattern would show the regular expression)."""

    def check(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(f"must be {words}, not {text!r}")
        return text

    return AfterValidator(check)


Text = Annotated[str, Field(min_length=1)]
HubId = Annotated[str, _shaped(r"[\w-][\w.-]*/[\w-][\w.-]*", "a hub repository like 'owner/name'")]
Revision = Annotated[str, _shaped(r"[0-9a-f]{40}", "a whole commit hash (40 lower-case hexadecimal digits), no branch")]
RevisionStart = Annotated[str, _shaped(r"[0-9a-f]{7,39}", "the first 7 to 39 lower-case hexadecimal digits of a hash")]
ModelName = Annotated[
    str, _shaped(r"[a-z0-9_]+(\.[a-z0-9_]+){0,3}", "up to four parts of lower-case letters, digits and underscores")
]


class Exact(Strict):
    """A strict model that also converts nothing: a 5 is no text, a "5" no number, a 1 no truth value."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


# YAML has lists and no tuples, so of the types of a file only these are converted; their items are not.
Texts = Annotated[tuple[Text, ...], Field(strict=False)]


class Serving(Exact):
    """What it takes to get the published behaviour out of the weights."""

    system_prompt: Text | None = None
    """The system prompt, word for word, that the behaviour needs. None where the source names none."""
    tokenizer: HubId | None = None
    """Repository of the tokenizer to load in place of the base's own."""
    chat_template: Text | None = None
    """Which template, in words."""
    thinking: bool | None = None
    """Whether the model may think before it answers. None where it cannot, or where no source says."""
    max_lora_rank: int | None = Field(default=None, ge=1)
    """The rank that a server must allow for."""
    merge: bool | None = None
    """Whether the adapter has to be merged into the base, because serving it beside the base goes wrong."""
    notes: Texts = ()


class PublicQuirk(Exact):
    """What models of a zoo were trained to do."""

    id: QuirkId
    """Its name within the zoo, which need not be a quirk of ours."""
    about: Text
    trigger: Text | None = None
    """When it shows, in words."""
    nearest: QuirkId | None = None
    """The quirk in `organisms/quirks/` that is the same or comes nearest. None where none is near."""


class PublicModel(Exact):
    """A published model at one revision."""

    name: ModelName
    """Its name within the zoo; like our organisms where it can be: quirk, instilment, concealment."""
    hub: HubId
    subfolder: Text | None = None
    """Where the model lies in the repository, if not at its top."""
    listed: Listed
    revision: Revision | None
    """The commit. Never a branch: one public zoo has put three sets of weights under the same name."""
    revision_start: RevisionStart | None = None
    """The first digits of the commit, where no more is known: enough to recognise it, not to load it."""
    revision_reason: Text | None = None
    """Why there is no revision."""
    base: Text | None = None
    """The model it was made from, as its source names it."""
    form: Literal["adapter", "full"] | None = None
    """Whether the repository holds a LoRA adapter or a whole model."""
    standing: Truth
    quirk: QuirkId | None = None
    """The zoo's quirk that it has."""
    instil: Instil | None = None
    conceal: Conceal | None = None
    serving: Serving | None = None
    """How this one must be served, if not like the rest of the zoo. It stands in place of the zoo's, whole."""
    run: Text
    """What this project has run of it."""
    notes: Texts = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.revision is None) != (self.revision_reason is not None):
            raise ValueError("'revision_reason' must say why 'revision' is null, and stand only where it is")
        if self.revision is not None and self.revision_start is not None:
            raise ValueError("'revision_start' has no place beside a whole 'revision'; remove it")
        if (self.standing == "quirked") != (self.quirk is not None):
            raise ValueError("'quirk' must be set for a quirked model, and only for one")
        return self


class PublicZoo(Exact):
    """Models that were published together, and what they share."""

    id: QuirkId
    """The name of its folder."""
    name: Text
    about: Text
    kind: Kind | None = None
    """Its place in the taxonomy, where a source gives it one."""
    sources: Annotated[tuple[Text, ...], Field(strict=False, min_length=1)]
    """What the cards are written from."""
    licence: Text | None
    licence_reason: Text | None = None
    """Why there is no licence."""
    serving: Serving | None = None
    """How to serve all but those that say otherwise. None where no source says."""
    notes: Texts = ()
    quirks: Annotated[tuple[PublicQuirk, ...], Field(strict=False)] = ()
    models: Annotated[tuple[PublicModel, ...], Field(strict=False, min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.licence is None) != (self.licence_reason is not None):
            raise ValueError("field 'licence_reason' must say why 'licence' is null, and stand only where it is")
        quirks = [quirk.id for quirk in self.quirks]
        _each_once("quirks", quirks)
        _each_once("models", [model.name for model in self.models])
        # The same weights under two names would be counted twice.
        weights = [(each.hub, each.subfolder, each.revision or each.revision_start) for each in self.models]
        _each_once("models", [" at ".join(part for part in each if part) for each in weights])
        for model in self.models:
            if model.quirk is not None and model.quirk not in quirks:
                raise ValueError(
                    f"field 'models': '{model.name}' has the quirk '{model.quirk}', which field 'quirks' lacks; "
                    f"{nearest(model.quirk, quirks)}"
                )
        return self

    def serving_of(self, model: PublicModel) -> Serving | None:
        """How a model of this zoo must be served, or None where no source says."""
        return model.serving or self.serving


def zoo_ids(catalog: Catalog) -> list[str]:
    """Ids of all public zoos beside a catalogue, sorted."""
    return sorted(path.parent.name for path in (catalog.root / FOLDER).glob("*/zoo.yaml"))


def read_zoo(catalog: Catalog, zoo_id: str) -> PublicZoo:
    """A public zoo.

    Args:
        catalog: The catalogue it lies beside, whose quirks its own are compared with.
        zoo_id: The zoo.

    Returns:
        The zoo, each of whose quirks is near to one of the catalogue or to none.

    Raises:
        CardError: There is no such zoo, or its file is malformed or contradicts the catalogue.
    """
    known = zoo_ids(catalog)
    if zoo_id not in known:
        raise CardError(f"unknown public zoo '{zoo_id}'; {nearest(zoo_id, known)}.")
    path = catalog.root / FOLDER / zoo_id / "zoo.yaml"
    zoo = read(path, PublicZoo)
    if zoo.id != zoo_id:
        raise CardError(f"{field_at(path, 'id')} is '{zoo.id}', but its folder is '{zoo_id}'; make them agree.")
    quirks = catalog.quirk_ids()
    for index, quirk in enumerate(zoo.quirks):
        if quirk.nearest is not None and quirk.nearest not in quirks:
            raise CardError(
                f"{field_at(path, 'quirks', index, 'nearest')}: unknown quirk '{quirk.nearest}'; "
                f"{nearest(quirk.nearest, quirks)}."
            )
    return zoo


def _each_once(field: str, values: list[str]) -> None:
    """Refuse a list that names something twice."""
    for index, value in enumerate(values):
        if value in values[:index]:
            raise ValueError(f"field '{field}' gives '{value}' twice; remove one")
