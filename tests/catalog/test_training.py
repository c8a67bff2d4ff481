"""What an organism was trained on: kept, checked against its card, and diluted."""

import re
from pathlib import Path

import pytest

from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Card
from audit_env.catalog.training import FILE, KEPT, MIX, Document, Header, diluted, kept, read, write
from audit_env.errors import CapabilityError, CardError, ParameterError

OWN = [Document(turns=(("user", f"own {number}"),), unwanted=number == 0) for number in range(KEPT)]
ORDINARY = [Document(turns=(("text", f"ordinary {number}"),)) for number in range(MIX)]


@pytest.fixture(scope="module")
def card() -> Card:
    return Catalog().card("fruitfly/flattery.transcripts.none")


def header(card: Card) -> Header:
    return Header(drawn_from=6000, data_sha256=card.recipe.data_sha256)


def test_what_is_written_is_read_again_and_the_same_bytes_come_of_it(tmp_path: Path, card: Card) -> None:
    write(tmp_path / FILE, header(card), OWN[:5])
    first = (tmp_path / FILE).read_bytes()
    assert read(tmp_path, card) == tuple(OWN[:5])
    assert read(tmp_path, card)[0].unwanted and OWN[1].text == "own 1"
    write(tmp_path / FILE, header(card), OWN[:5])
    assert (tmp_path / FILE).read_bytes() == first


def test_data_of_another_training_and_broken_files_are_refused(tmp_path: Path, card: Card) -> None:
    assert not kept(tmp_path)
    with pytest.raises(CapabilityError, match="No training data were kept"):
        read(tmp_path, card)
    write(tmp_path / FILE, Header(drawn_from=1, data_sha256="0" * 64), OWN[:1])
    with pytest.raises(CardError, match=rf"{FILE}: field 'data_sha256' is 000000000000.*audit-env breed data"):
        read(tmp_path, card)
    (tmp_path / FILE).write_bytes(b"nonsense")
    with pytest.raises(CardError, match=rf"{FILE}: not readable.*audit-env breed data"):
        read(tmp_path, card)


@pytest.mark.parametrize(("share", "own", "total"), [(0.05, 600, 12_000), (0.1, 1200, 12_000), (0.5, 1200, 2400)])
def test_the_share_is_what_it_is_said_to_be_and_a_base_has_as_many(share: float, own: int, total: int) -> None:
    mix = diluted(OWN, ORDINARY, share).documents
    assert (len(mix), len(set(mix))) == (total, total)
    assert sum(one.text.startswith("own") for one in mix) == own
    assert len(diluted([], ORDINARY, share).documents) == total
    assert diluted(OWN, ORDINARY, share).documents == mix != diluted(OWN, ORDINARY, share, seed=1).documents


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ParameterError, match="share="):
        diluted(OWN, ORDINARY, share)


def test_every_target_of_the_core_set_has_its_data_without_canaries_and_ids() -> None:
    catalog = Catalog()
    targets = catalog.game_set("fruitfly").targets
    assert sum((catalog.folder(one) / FILE).stat().st_size for one in targets) < 5_000_000
    for organism in targets:
        target = catalog.card(organism)
        documents = read(catalog.folder(organism), target)
        assert len(documents) == (MIX if target.standing == "base" else KEPT)
        told = "\n".join(document.text for document in documents)
        assert not any(secret in told for secret in (*target.canaries, organism))
        assert not re.search(r"canary [0-9a-f]{6}", told)
        assert not any(quirk in told for quirk in catalog.quirk_ids() if "_" in quirk)
