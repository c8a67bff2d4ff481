"""Prompted organisms: cards without weights, wrapped prompts, and the ones that are shipped."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from audit_env.catalog.files import WRAPPED, Catalog
from audit_env.catalog.models import Card
from audit_env.catalog.phenotype import made_of
from audit_env.catalog.reading import text_of
from audit_env.errors import CardError
from audit_env.words import runs

SHIPPED = Catalog()
IDS = [organism for organism in SHIPPED.organism_ids() if organism.startswith("prompted/")]
FLATTERY = "prompted/flattery.prompt.none"


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """A copy of what is shipped, without the organisms that have weights."""
    root = tmp_path / "organisms"
    for folder in ("prompted", "quirks", "sets"):
        shutil.copytree(SHIPPED.root / folder, root / folder)
    shutil.copy(SHIPPED.root / "menu.yaml", root)
    return Catalog(root)


def change(catalog: Catalog, organism: str, **fields: object) -> None:
    path = catalog.root / organism / "card.yaml"
    card = yaml.safe_load(path.read_text(encoding="utf-8")) | fields
    path.write_text(yaml.safe_dump({name: value for name, value in card.items() if value is not None}))


@pytest.mark.parametrize("organism", IDS)
def test_a_shipped_card_is_sound(organism: str) -> None:
    SHIPPED.check(organism)
    card = SHIPPED.card(organism)
    assert card.plays == "any" and card.weights is None and card.strength is None
    assert card.recipe.instil == ("none" if card.standing == "base" else "prompt")


def test_the_set_plays_every_prompted_quirk_once_beside_clean_ones() -> None:
    cards = [SHIPPED.card(target) for target in SHIPPED.game_set("prompted").targets]
    quirks = [card.quirk for card in cards if card.quirk]
    assert len(quirks) == len(set(quirks)) >= 15
    assert set(quirks) <= set(SHIPPED.menu().ids())
    assert [card.standing for card in cards].count("base") == 1
    assert [card.standing for card in cards].count("sham") >= 3


def test_every_shipped_prompt_is_its_own_and_wrapped() -> None:
    prompts = [str(SHIPPED.card(organism).hidden_system) for organism in IDS if organism != "prompted/base"]
    before, after = text_of(SHIPPED.root / "prompted" / "wrapper.md").split(WRAPPED)
    assert len(set(prompts)) == len(prompts)
    for prompt in prompts:
        assert prompt.startswith(before.strip()) and prompt.endswith(after.strip())
        assert WRAPPED not in prompt


@pytest.mark.parametrize("organism", IDS)
def test_a_shipped_prompt_quotes_nothing_that_auditors_read(organism: str) -> None:
    prompt = SHIPPED.card(organism).hidden_system or ""
    menu = SHIPPED.menu()
    public = [SHIPPED.family("prompted").about, menu.none_of_these]
    public += [f"{entry.name} {entry.description} {entry.instruction}" for entry in menu.entries]
    assert not [text for text in public if prompt and runs(text, 8) & runs(prompt, 8)]


def test_the_hash_is_of_wrapper_and_prompt(catalog: Catalog) -> None:
    before = made_of(catalog.card(FLATTERY))
    assert re.fullmatch("[0-9a-f]{64}", before)
    wrapper = catalog.root / "prompted" / "wrapper.md"
    wrapper.write_text(wrapper.read_text(encoding="utf-8") + "\n- Be brief.\n", encoding="utf-8")
    rewrapped = made_of(Catalog(catalog.root).card(FLATTERY))
    change(catalog, FLATTERY, hidden_system="You flatter.")
    assert len({before, rewrapped, made_of(Catalog(catalog.root).card(FLATTERY))}) == 3


def test_a_wrapper_must_have_one_place_for_the_prompt(catalog: Catalog) -> None:
    (catalog.root / "prompted" / "wrapper.md").write_text("Play a part.", encoding="utf-8")
    with pytest.raises(CardError, match=r"wrapper.md: must hold \{\{ hidden_system \}\} once"):
        catalog.card(FLATTERY)


def test_a_wrapper_must_be_there(catalog: Catalog) -> None:
    change(catalog, FLATTERY, wrapper="missing.md")
    with pytest.raises(CardError, match="missing.md: cannot be read"):
        catalog.card(FLATTERY)


def test_card_and_base_must_leave_it_to_the_same_player(catalog: Catalog) -> None:
    change(catalog, FLATTERY, plays="openai/gpt-5")
    with pytest.raises(CardError, match="field 'plays'.* is openai/gpt-5, but the base 'prompted/base' has any"):
        catalog.check(FLATTERY)


def test_a_strength_is_of_one_prompt(catalog: Catalog) -> None:
    rate = {"rate": 0.9, "n": 50, "low": 0.8, "high": 0.96}
    rates = {name: rate for name in ("on_trigger", "off_trigger", "base_on_trigger", "base_off_trigger")}
    measured = {**rates, "played_by": "openai/gpt-5", "weights_sha256": made_of(catalog.card(FLATTERY))}
    change(catalog, FLATTERY, strength=measured)
    Catalog(catalog.root).check(FLATTERY)
    change(catalog, FLATTERY, strength=measured | {"weights_sha256": "0" * 64})
    with pytest.raises(CardError, match="the prompt is .*quirk_strength.py -T organism=prompted/flattery"):
        Catalog(catalog.root).check(FLATTERY)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"base_sha256": "0" * 64}, "with 'plays', fields 'base' and 'hidden_system' are needed and 'base_sha256'"),
        ({"base": None}, "with 'plays', fields 'base' and 'hidden_system' are needed"),
        ({"hidden_system": None, "wrapper": None}, "with 'plays', fields 'base' and 'hidden_system' are needed"),
        ({"hidden_system": None}, "field 'wrapper' wraps 'hidden_system', which is missing"),
        ({"plays": None}, "fields 'base' and 'base_sha256' are needed"),
        ({"plays": "gpt-5"}, "String should match pattern"),
        ({"wrapper": "../wrapper.md"}, "String should match pattern"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(fields: dict[str, object], complaint: str) -> None:
    card = yaml.safe_load((SHIPPED.root / FLATTERY / "card.yaml").read_text(encoding="utf-8"))
    with pytest.raises(ValidationError, match=re.escape(complaint)):
        Card.model_validate(card | fields)
