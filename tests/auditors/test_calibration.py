"""How evidence is weighed: numbers by hand, a truth that is planted, one that is not, and no look at other targets."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from inspect_ai import eval as inspect_eval

from audit_env.agents.scripted import scripted
from audit_env.auditors import fitting, script
from audit_env.auditors.calibration import Null, Weighing, believe, calibration
from audit_env.auditors.fitting import SOURCES, Audited, calibrated, cross_validated, fit, nulls
from audit_env.catalog.files import Catalog
from audit_env.errors import ParameterError
from audit_env.tasks import hidden_objective as game

ENTRIES = [f"entry{number}" for number in range(10)]
QUIRKS = ENTRIES[:6]


def zoo_of_audits(lift: float, seed: int = 0) -> list[Audited]:
    """Audits of six quirks, four organisms each, and ten clean targets.

    `told` speaks for the truth by `lift` standard deviations, `noise` of nothing, each entry about a mean of its own.
    """
    draw = np.random.default_rng(seed)
    usual = draw.normal(0, 20, len(ENTRIES))

    def audit(name: str, *quirks: str) -> Audited:
        told, noise = (
            {entry: float(mean + draw.normal()) for entry, mean in zip(ENTRIES, usual, strict=True)} for _ in range(2)
        )
        for quirk in quirks:
            told[quirk] += lift
        return Audited(name, frozenset(quirks), quirks[0] if quirks else name, {"told": told, "noise": noise})

    quirked = [audit(f"{quirk}.{number}", quirk) for quirk in QUIRKS for number in range(4)]
    return [*quirked, *(audit(f"clean{number}") for number in range(10))]


def test_a_planted_truth_is_found_in_quirks_that_were_left_out() -> None:
    audits = zoo_of_audits(lift=8.0)
    weighing = fit(audits, ENTRIES, ["told", "noise"])
    assert weighing.weights["told"] > 3 * weighing.weights["noise"]
    checked = cross_validated(audits, ENTRIES, ["told", "noise"])
    assert (checked.detected, checked.false_alarms) == (24, 0)
    assert checked.auroc == 1.0 and (checked.brier or 0) < 0.05


def test_where_nothing_is_planted_no_quirk_is_named_and_no_clean_target_flagged_with_confidence() -> None:
    audits = zoo_of_audits(lift=0.0)
    checked = cross_validated(audits, ENTRIES, ["told", "noise"])
    assert checked.detected <= 8
    assert checked.auroc is not None and 0.15 < checked.auroc < 0.85
    # As good as even odds, which cost 0.25, or little worse.
    assert checked.brier is not None and checked.brier < 0.35
    assert max(fit(audits, ENTRIES, ["told", "noise"]).weights.values()) < 0.6


def test_nulls_leave_out_the_organisms_that_have_the_quirk() -> None:
    audits = [
        Audited("a", frozenset({"x"}), "x", {"told": {"x": 100.0}}),
        Audited("b", frozenset(), "b", {"told": {"x": 1.0}}),
        Audited("c", frozenset(), "c", {"told": {"x": 3.0}}),
    ]
    null = nulls(audits, ["x"], ["told"])["told"]["x"]
    assert null.mean == 2.0 and null.sd == pytest.approx(1.0)
    with pytest.raises(ParameterError, match="'other'"):
        nulls(audits, ["x"], ["other"])


def test_belief_by_hand() -> None:
    weighing = Weighing(weights={"told": 2.0, "absent": 5.0}, threshold=1.0)
    held_against = {"told": {"a": Null(mean=1.0, sd=2.0)}}
    belief = believe({"told": {"a": 5.0, "b": 99.0}}, ["a", "b"], weighing, held_against)
    a, b = math.exp(2 * math.asinh(2.0) - 1.0) / 4, math.exp(-1.0) / 4
    assert belief.p_quirk == pytest.approx((a + b) / (a + b + 0.5))
    assert belief.best() == "a"


def test_what_is_shipped_comes_from_the_development_half_and_knows_every_entry() -> None:
    shipped, catalog = calibration(), Catalog()
    assert shipped.provenance.set == "fruitfly_dev"
    assert shipped.provenance.audits >= len(catalog.game_set("fruitfly_dev").targets)
    menu = {entry.id for entry in catalog.menu().entries}
    for name, sources in SOURCES.items():
        assert set(shipped.scripts[name].weights) == set(sources)
        assert all(set(shipped.nulls[source]) == menu for source in sources)
        assert shipped.cross_validated[name].clean >= 8


@pytest.fixture
def played(zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Plays a script on the tiny zoo, and gives the folder of its log."""
    pytest.importorskip("torch")
    for module in (game, script):
        monkeypatch.setattr(module, "Catalog", zoo.catalog)

    def play(affordance: str) -> Path:
        task = game.hidden_objective(set="tiny", affordance=affordance, targets=4)
        [log] = inspect_eval(task, model=None, solver=scripted(), log_dir=str(tmp_path), display="none")
        assert log.status == "success"
        return tmp_path

    return play


def test_logs_are_read_whole_and_audits_outside_the_set_are_refused(zoo, played) -> None:
    logs = played("white_box")
    made = calibrated([logs], "tiny", "a test", zoo.catalog())
    assert made.provenance.audits == 4 and made.family == "tiny"
    assert set(made.nulls) == set(SOURCES["differences"])
    catalog = zoo.catalog()
    smaller = catalog.game_set("tiny").model_copy(update={"targets": ("tiny/base",)})
    with pytest.raises(ParameterError, match=r"not in the set 'tiny'.*held-out"):
        calibrated([logs], "tiny", "a test", _WithSet(catalog, smaller))


class _WithSet(Catalog):
    """A catalogue in which a set has other targets."""

    def __init__(self, catalog: Catalog, game_set: object) -> None:
        super().__init__(catalog.root)
        self._set = game_set

    def game_set(self, name_or_path: object) -> object:  # type: ignore[override]
        return self._set


def test_the_digest_of_the_code_is_part_of_the_provenance() -> None:
    assert "+" in fitting._code_version()
