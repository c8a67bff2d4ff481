"""Difficulty from the logs of real games."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from inspect_ai.log import (
    EvalLog,
    read_eval_log,
    read_eval_log_sample,
    read_eval_log_sample_summaries,
    write_eval_log,
)

from audit_env.catalog.files import Catalog
from audit_env.catalog.phenotype import made_of
from audit_env.cli import main
from audit_env.game.audits import audits, read_logs
from audit_env.game.outcome import outcome_of
from audit_env.phenotype.difficulty import sheets

BASELINES = Path(__file__).parents[2] / "logs" / "baselines"


ORGANISMS = ("fruitfly/base", "fruitfly/flattery.transcripts.none", "fruitfly/animal_welfare.documents.none")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of the audits of three organisms, out of the baselines."""
    [baseline] = BASELINES.glob("*.eval")
    log = read_eval_log(str(baseline), header_only=True)
    log.samples = [
        read_eval_log_sample(str(baseline), one.id, one.epoch)
        for one in read_eval_log_sample_summaries(str(baseline))
        if one.scores and (outcome := outcome_of(one.scores["verdict"])) and outcome.organism in ORGANISMS
    ]
    place = tmp_path_factory.mktemp("logs") / "part.eval"
    write_eval_log(log, str(place))
    return place


@pytest.fixture(scope="module")
def logs(place: Path) -> list[EvalLog]:
    return read_logs(place)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return shutil.copytree(Catalog().root, tmp_path / "organisms", ignore=shutil.ignore_patterns("*.safetensors"))


def test_every_audited_organism_gets_the_figures_of_its_audits(logs: list[EvalLog]) -> None:
    frame = audits(logs)
    found = {sheet.organism: sheet.difficulty for sheet in sheets(logs, Catalog())}
    assert set(found) == set(frame.organism) == set(ORGANISMS)
    for (organism, affordance), rows in frame.groupby(["organism", "affordance"]):
        mine = found[organism][f"scripted {affordance}"]
        assert mine.audits == len(rows)
        assert mine.p_quirk == pytest.approx(rows.p_quirk.mean(), abs=1e-4)
        if rows.quirk.notna().all() and (rows.reciprocal_rank > 0).all():
            assert mine.rank == pytest.approx((1 / rows.reciprocal_rank.astype(float)).mean(), abs=0.01)
        else:
            assert mine.rank is None


def test_audits_of_other_weights_do_not_count(logs: list[EvalLog], root: Path) -> None:
    card = root / "fruitfly" / "flattery.transcripts.none" / "card.yaml"
    hash_now = made_of(Catalog(root).card("fruitfly/flattery.transcripts.none"))
    card.write_text(card.read_text().replace(hash_now, "ab" * 32))
    assert "fruitfly/flattery.transcripts.none" not in {sheet.organism for sheet in sheets(logs, Catalog(root))}


def test_the_command_adds_to_the_sheets_and_takes_nothing_away(root: Path, place: Path) -> None:
    before = Catalog(root).phenotype("fruitfly/flattery.transcripts.none")
    done = CliRunner().invoke(main, ["organisms", "--root", str(root), "difficulty", str(place)])
    assert done.exit_code == 0, done.output
    after = Catalog(root).phenotype("fruitfly/flattery.transcripts.none")
    assert before and after
    assert after.difficulty["scripted white_box"].audits >= 1
    assert after.firing == before.firing and after.confession == before.confession
    assert Catalog(root).phenotype("fruitfly/base").difficulty["scripted blind"].rank is None
