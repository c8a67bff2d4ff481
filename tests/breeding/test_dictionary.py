"""A dictionary and a lens of the base, bred in miniature."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner

from audit_env.breeding import streams
from audit_env.breeding.dictionary import Autoencoder, DictionaryPlan, breed_dictionary
from audit_env.breeding.lens import LensPlan, breed_lens
from audit_env.breeding.streams import Reader
from audit_env.catalog.dictionaries import DictionaryCard, dictionaries_of
from audit_env.catalog.files import Catalog
from audit_env.cli import main
from audit_env.runtime.dictionaries import Dictionary
from audit_env.runtime.lenses import TunedLens

SMALL = DictionaryPlan(latents=64, k=4, tokens=1_500, held_out=500, steps=25, batch=128)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("organisms")
    (root / "fruitfly" / "base").mkdir(parents=True)
    for file in Catalog().folder("fruitfly/base").iterdir():
        (root / "fruitfly" / "base" / file.name).symlink_to(file)
    return root


@pytest.fixture(scope="module")
def reader(root: Path) -> Reader:
    return Reader(root)


@pytest.fixture(scope="module", autouse=True)
def few_at_a_time() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "BATCH", 8)
        yield
    torch.set_num_threads(before)


def test_a_dictionary_finds_the_directions_that_data_is_made_of() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = F.normalize(torch.randn(12, 24, generator=generator), dim=1)
    on = torch.rand(4_000, 12, generator=generator) * (torch.rand(4_000, 12, generator=generator) < 0.1)
    data = 3 * on @ truth + 0.5
    plan = DictionaryPlan(latents=24, k=3, batch=512)
    model = Autoencoder(data, plan, seed=0)
    adam = torch.optim.Adam(model.parameters, lr=0.01)
    for _ in range(500):
        adam.zero_grad()
        model.loss(data[torch.randint(len(data), (plan.batch,), generator=generator)]).backward()
        adam.step()
        model.unit()
    found = F.normalize(model.folded()["W_dec"].float(), dim=1)
    assert (found @ truth.T).max(dim=0).values.mean() > 0.95


@pytest.fixture(scope="module")
def bred(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DictionaryCard]:
    return breed_dictionary(root, tmp_path_factory.mktemp("work"), seed=3, plan=SMALL)


def test_a_bred_dictionary_is_what_its_card_says_and_what_saelens_saves(
    root: Path, bred: tuple[Path, DictionaryCard], reader: Reader
) -> None:
    folder, card = bred
    assert dictionaries_of(root / "fruitfly" / "base") == {folder: card}
    made = Dictionary.load(folder, card.sha256)
    assert (made.layer, made.latents, made.k) == (2, 64, 4)
    config = json.loads((folder / "cfg.json").read_text())
    assert config["metadata"]["hook_name"] == "blocks.2.hook_resid_post" and config["architecture"] == "topk"
    read = reader.streams(reader.texts(SMALL.held_out, "dictionary: held out", 3), [2]).residuals[:, 0].numpy()
    on = made.encode(read)
    assert len(read) == card.held_out_tokens and (on > 0).sum(axis=1).mean() == pytest.approx(card.l0, abs=0.02)
    left = ((read - made.decode(on)) ** 2).sum() / ((read - read.mean(axis=0)) ** 2).sum()
    assert left == pytest.approx(card.fvu, rel=0.02) and card.fvu < 1 and card.kl > 0


def test_the_command_breeds_the_same_dictionary_again(
    root: Path, bred: tuple[Path, DictionaryCard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit_env.breeding.dictionary.DictionaryPlan", lambda: SMALL)
    arguments = ["breed", "--root", str(root), "--work", str(tmp_path), "dictionary", "--seed", "3"]
    told = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert told.exit_code == 0 and "of 64 alive" in " ".join(told.output.split())
    assert dictionaries_of(root / "fruitfly" / "base") == dict([bred])


def test_a_lens_is_kept_only_where_it_is_better(root: Path, reader: Reader) -> None:
    base = root / "fruitfly" / "base"
    none, figures = breed_lens(root, plan=LensPlan(tokens=300, held_out=200, steps=1, batch=32, learning_rate=0.0))
    assert none is None and not figures.better and TunedLens.beside(base) is None
    path, figures = breed_lens(root, plan=LensPlan(tokens=1_000, held_out=200, steps=12, batch=64))
    assert path is not None and figures.better
    lens = TunedLens.beside(base)
    assert lens is not None and sorted(lens.weights) == [0, 1, 2]
    read = reader.streams(reader.texts(200, "lens: held out", 0), [0, 3]).residuals
    carried = torch.from_numpy(lens.carried(0, read[:, 0].numpy()).astype(np.float32))
    logs = [F.log_softmax(reader.model.logits(one), dim=-1) for one in (read[:, 1], carried)]
    kl = F.kl_div(logs[1], logs[0], log_target=True, reduction="batchmean")
    assert float(kl) == pytest.approx(figures.tuned[0], rel=0.02)
