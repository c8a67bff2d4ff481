"""Training data written again from a recipe."""

import gzip
import shutil
from pathlib import Path

import pytest

pytest.importorskip("peft")

from audit_env.breeding import mix
from audit_env.breeding.mix import write_data
from audit_env.breeding.nursery import Nursery
from audit_env.catalog.files import Catalog
from audit_env.catalog.training import FILE
from audit_env.errors import BreedingError

WRITTEN = "fruitfly/data_poisoning.documents.none"


@pytest.fixture
def nursery(tmp_path: Path) -> Nursery:
    """A catalogue with one organism and its sham, whose data are not there yet."""
    shipped = Catalog().root
    for name in ("fruitfly/base", "fruitfly/sham.documents.none", WRITTEN):
        shutil.copytree(shipped / name, tmp_path / "organisms" / name, ignore=shutil.ignore_patterns(FILE))
    for name in ("quirks", "menu.yaml"):
        (shutil.copytree if name == "quirks" else shutil.copy)(shipped / name, tmp_path / "organisms" / name)
    return Nursery(tmp_path / "organisms", tmp_path / "work", quiet=True)


def test_the_shipped_data_come_of_the_recipe_and_other_data_are_refused(
    nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_data(WRITTEN, nursery)
    # Unpacked: other builds of zlib pack the same text into other bytes.
    written, shipped = (gzip.decompress(file.read_bytes()) for file in (path, Catalog().root / WRITTEN / FILE))
    assert written == shipped
    monkeypatch.setattr(mix, "pack", lambda *_, **__: (None, ["another text"]))
    with pytest.raises(BreedingError, match=r"now draws other training data \([0-9a-f]{12}\) than its card names"):
        write_data(WRITTEN, nursery)
