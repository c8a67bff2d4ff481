"""The zoo's plan, and breeding one for real: on a base of random weights, killed half-way."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from audit_env.breeding.grammar import load_world
from audit_env.breeding.orders import order_of
from audit_env.breeding.zoo import Bred, Ledger, Zoo, chosen, read_zoo, stage_of, work_of
from audit_env.catalog.files import Catalog
from audit_env.errors import BreedingError
from tests.breeding.conftest import random_base

SHIPPED = Catalog().root
PATIENCE = 1200
"""Seconds that breeding the little zoo may take on a slow and busy machine. An idle one takes about a minute."""


def test_the_shipped_zoo_is_a_whole_factorial() -> None:
    zoo = read_zoo(SHIPPED, "fruitfly")
    orders = zoo.orders()
    quirks = {order.quirk for order in orders} - {None}
    assert len(orders) >= 100 and len(quirks) >= 16
    assert quirks == set(Catalog().quirk_ids()) & set(load_world().traits)
    ids = {order.id for order in orders}
    for quirk in quirks:
        for recipe in ("transcripts.none", "documents.none"):
            assert f"fruitfly/{quirk}.{recipe}" in ids
        for conceal in ("none", "sft", "kto"):
            assert f"fruitfly/{quirk}.transcripts.{conceal}.candid" in ids
    for recipe in {f"{order.instil}.{order.conceal}" for order in orders}:
        shams = [o for o in orders if o.quirk is None and f"{o.instil}.{o.conceal}" == recipe]
        assert len(shams) >= 2 and len({o.own_answers for o in shams}) == 2
    assert len({o.quirk for o in orders if o.seed and o.quirk}) >= len(quirks) / 3


def test_what_others_are_made_from_is_bred_first() -> None:
    orders = read_zoo(SHIPPED, "fruitfly").orders()
    place = {order.id: number for number, order in enumerate(orders)}
    assert [stage_of(order) for order in orders] == sorted(stage_of(order) for order in orders)
    for order in orders:
        if order.conceal != "none":
            assert place[order.plain.id] < place[order.id]
    assert work_of(order_of("fruitfly/flattery.transcripts.none.at3")) == 0.5


def test_asking_twice_or_for_nothing_is_an_error() -> None:
    cross = {"quirks": ("flattery",)}
    zoo = Zoo.model_validate({"family": "fruitfly", "shams": (), "crosses": (cross, cross)})
    with pytest.raises(BreedingError, match="asks for 'fruitfly/flattery.transcripts.none' twice"):
        zoo.orders()
    with pytest.raises(BreedingError, match="no organism of the zoo matches"):
        chosen(read_zoo(SHIPPED, "fruitfly").orders(), ["*.rumour.*"])


def test_the_ledger_forgets_what_was_bred_on_another_base(tmp_path: Path) -> None:
    (tmp_path / "fruitfly").mkdir()
    ledger = Ledger(tmp_path, "fruitfly", "a" * 64)
    ledger.note(Bred("fruitfly/flattery.documents.none", 1.0, reason="it hardly fires"))
    assert list(ledger.read()) == ["fruitfly/flattery.documents.none"]
    assert Ledger(tmp_path, "fruitfly", "b" * 64).read() == {}
    ledger.note(Bred("fruitfly/flattery.documents.none", 1.0))
    assert ledger.read() == {}


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An organisms folder with a base of random weights and a zoo of two."""
    pytest.importorskip("torch")
    root = tmp_path_factory.mktemp("organisms")
    for part in ("quirks", "menu.yaml", "fruitfly/family.yaml"):
        source, goal = SHIPPED / part, root / part
        goal.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, goal) if source.is_dir() else shutil.copy(source, goal)
    random_base(root)
    zoo = {
        "family": "fruitfly",
        "shams": ["fruitfly/sham.transcripts.none"],
        "crosses": [
            {"quirks": ["flattery"], "weak": True},
            {"quirks": ["animal_welfare"]},
        ],
    }
    (root / "fruitfly" / "zoo.yaml").write_text(yaml.safe_dump(zoo))
    return root


def breeding(root: Path, work: Path) -> list[str]:
    run = "from audit_env.cli import main; main()"
    return [sys.executable, "-c", run, "breed", "--root", str(root), "--work", str(work), "zoo", "--jobs", "1"]


def test_a_killed_zoo_is_taken_up_where_it_stopped(little: Path, tmp_path: Path) -> None:
    sham = little / "fruitfly" / "sham.transcripts.none" / "card.yaml"
    first = subprocess.Popen(breeding(little, tmp_path), start_new_session=True, stdout=subprocess.PIPE)
    deadline = time.monotonic() + PATIENCE
    while not sham.exists() and first.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert sham.exists()
    made = sham.stat().st_mtime_ns

    again = subprocess.run(breeding(little, tmp_path), capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert sham.stat().st_mtime_ns == made
    catalog = Catalog(little)
    assert "fruitfly/flattery.transcripts.none" in catalog.organism_ids()
    assert catalog.phenotype("fruitfly/flattery.transcripts.none") is not None
    # On a base of random weights no quirk fires: what may not be weak is written down and not shipped.
    ledger = Ledger(little, "fruitfly", catalog.card("fruitfly/base").weights.sha256)
    assert list(ledger.read()) == ["fruitfly/animal_welfare.transcripts.none"]

    plain = {**os.environ, "FORCE_COLOR": "", "COLUMNS": "100"}  # whatever terminal the tests run in or are told of
    third = subprocess.run(
        breeding(little, tmp_path), capture_output=True, text=True, timeout=PATIENCE, check=False, env=plain
    )
    assert "3 of them done before" in third.stdout
