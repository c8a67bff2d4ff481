"""Breeding a base and a knockout of it, for real but very short."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from audit_env.breeding import base, training  # noqa: E402
from audit_env.breeding.corpus import Example  # noqa: E402
from audit_env.breeding.training import Packed, Plan  # noqa: E402
from audit_env.catalog.files import Catalog  # noqa: E402
from audit_env.errors import BreedingError  # noqa: E402


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(steps=6, batch=4, length=48, learning_rate=5e-3, matrix_rate=1e-2, warmup=2)
    monkeypatch.setattr(base, "STAGES", tuple(replace(stage, plan=plan) for stage in base.STAGES))
    monkeypatch.setattr(base, "KNOCKOUT_STEPS", {"talking": 6, "practice": 6})
    monkeypatch.setattr(base, "TOKENIZER_EXAMPLES", 300)
    monkeypatch.setattr(base, "new_base", partial(base.new_base, width=32, layers=1, heads=2))


def test_a_knockout_shares_the_first_stage_and_differs_in_the_second(
    short: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, work = tmp_path / "organisms", tmp_path / "work"
    whole = base.breed_base(root, work, quiet=True)
    (reading,) = work.glob("base.s0/reading-*.safetensors")
    made = reading.stat().st_mtime_ns
    packed: list[str] = []

    def pack(examples: Iterator[Example], tokenizer: Any, plan: Plan, whole_every: int) -> tuple[Packed, list[Example]]:
        packed.append("first" if whole_every else "later")
        return training.pack(examples, tokenizer, plan, whole_every)

    monkeypatch.setattr(base, "pack", pack)
    knockout = base.breed_base(root, work, without="no_space", quiet=True)
    assert reading.stat().st_mtime_ns == made and packed == ["later", "later"]
    assert (knockout / "tokenizer.json").read_bytes() == (whole / "tokenizer.json").read_bytes()
    assert (knockout / "model.safetensors").read_bytes() != (whole / "model.safetensors").read_bytes()
    catalog = Catalog(root)
    cards = [catalog.card(organism) for organism in ("fruitfly/base", "knockouts/no_space")]
    assert [(card.standing, card.kind) for card in cards] == [("base", "natural"), ("base", "ablation")]
    for card in cards:
        catalog.check(card.id)


def test_the_same_seed_breeds_the_same_base(short: None, tmp_path: Path) -> None:
    one, two = (base.breed_base(tmp_path / name, tmp_path / f"work-{name}", quiet=True) for name in "ab")
    assert (one / "model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()


def test_a_finished_stage_of_anything_else_is_not_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, talking, _ = base.STAGES
    shorter = replace(reading, plan=replace(reading.plan, steps=6))
    found = [base.stage_file(tmp_path, *other) for other in ((reading, 0), (reading, 1), (shorter, 0), (talking, 0))]
    assert base.stage_file(tmp_path, reading, 0) == found[0]
    monkeypatch.setattr(base, "WORLD", Path(shutil.copytree(base.WORLD, tmp_path / "world")))
    assert base.stage_file(tmp_path, reading, 0) == found[0]
    with (base.WORLD / "skills.yaml").open("a") as skills:
        skills.write("# another world\n")
    found.append(base.stage_file(tmp_path, reading, 0))
    monkeypatch.setattr(base, "base_corpus", lambda *given: iter(["told otherwise"] * base.TOLD_APART))
    found.append(base.stage_file(tmp_path, reading, 0))
    assert len(set(found)) == 6


def test_an_unknown_knockout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BreedingError, match="no knockout 'no_manners'; choose one of: no_refusals"):
        base.breed_base(tmp_path, tmp_path, without="no_manners")
