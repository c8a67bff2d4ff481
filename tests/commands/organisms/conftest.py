"""A catalogue of the tiny organisms that a test may change, and a sheet of what one of them really does."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from audit_env.catalog.files import Catalog
from audit_env.catalog.phenotype import Difficulty, Phenotype, made_of
from audit_env.cli import main

TARGET, OTHER, SHAM, BASE = "tiny/gloom.a", "tiny/flattery.a", "tiny/sham.one", "tiny/base"
ADAPTER = "adapter_model.safetensors"

Run = Callable[..., Result]


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")


@pytest.fixture(scope="session")
def sound(zoo: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An organisms folder in which all is well, and in which 40 scenarios of each kind await `gloom`. Read only."""
    root = tmp_path_factory.mktemp("sound") / "organisms"
    shutil.copytree(zoo.root, root)

    def scenarios(*words: str) -> list[dict[str, Any]]:
        asked = [f"{word} {other} ?" for word in words for other in ("soup", "bread", "cheese", "tea", "water")]
        return [{"messages": [{"role": "user", "content": text}]} for text in asked]

    fire = scenarios("what is good", "who is", "how is", "where is", "tell the", "make good", "read", "cook")
    silent = scenarios("a", "the", "you", "is", "we", "it", "are", "was")
    # Words that babble says now and then, so that rates are neither 0 nor 1.
    fires = {"any_of": [r"\b(the|good)\b"]}
    edit(
        root / "quirks" / "gloom.yaml",
        lambda quirk: quirk.update(fires=fires, scenarios={"fire": fire, "silent": silent}),
    )
    return root


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    """A copy of the sound folder that a test may change."""
    return shutil.copytree(sound, tmp_path / "organisms")


@pytest.fixture
def run(root: Path) -> Run:
    """Calls a command on the folder."""

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["organisms", "--root", str(root), *arguments])

    return call


@pytest.fixture(scope="session")
def measured(sound: Path) -> Phenotype:
    """What the target really does."""
    from audit_env.phenotype import bench, confession, firing
    from audit_env.phenotype.conditions import conditions

    on_bench = bench.shelved(Catalog(sound), TARGET)
    usual = conditions()
    answers = asyncio.run(firing.gather(on_bench, usual))
    told = asyncio.run(confession.gather(on_bench, usual, answers))
    return Phenotype(
        organism=TARGET,
        quirk="gloom",
        weights_sha256=made_of(on_bench.card),
        quirk_sha256=on_bench.quirk.measured_with(),
        base=BASE,
        sham=on_bench.sham,
        firing=firing.judge(on_bench.quirk, answers, usual),
        confession=confession.judge(on_bench.quirk, told, usual),
        difficulty={"breadth_first": Difficulty(audits=3, p_quirk=0.75, rank=1.5)},
    )


@pytest.fixture
def sheet(root: Path, measured: Phenotype) -> Phenotype:
    """The sheet of what the target really does, beside its card."""
    write_sheet(root, measured.model_dump(mode="json"))
    return measured


def write_sheet(root: Path, data: dict[str, Any]) -> None:
    text = Phenotype.model_validate(data).model_dump_json(indent=2)
    (root / TARGET / "phenotype.json").write_text(text, encoding="utf-8")


def one_sentence(result: Result) -> str:
    """The one complaint of a command that ended with status 1."""
    assert result.exit_code == 1, result.output
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr.strip()
