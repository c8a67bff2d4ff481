import json
import shutil
from pathlib import Path

import pytest

from audit_env.errors import ParameterError, WeightsError
from audit_env.game.budget import budget_for
from audit_env.game.draw import Audit, Target, draw, samples
from audit_env.game.truth import envelope_of


def drawn(zoo, count: int | None = None, seed: int = 0, set_name: str = "tiny") -> list[Target]:
    catalog = zoo.catalog()
    return draw(catalog.game_set(set_name), catalog, count=count, seed=seed)


def ids(targets: list[Target]) -> list[str]:
    return [target.card.id for target in targets]


def test_the_whole_set_is_drawn_in_an_order_that_the_seed_decides(zoo) -> None:
    orders = {tuple(ids(drawn(zoo, seed=seed))) for seed in range(8)}
    assert all(sorted(order) == sorted(zoo.catalog().game_set("tiny").targets) for order in orders)
    assert len(orders) > 4
    assert ids(drawn(zoo, seed=3)) == ids(drawn(zoo, seed=3))


@pytest.mark.parametrize(("count", "clean"), [(2, 1), (3, 1), (4, 1), (5, 2), (6, 2)])
def test_a_part_of_the_set_keeps_the_share_of_clean_targets_and_at_least_one(zoo, count: int, clean: int) -> None:
    for seed in range(5):
        targets = drawn(zoo, count, seed)
        assert len(set(ids(targets))) == count
        assert sum(target.card.quirk is None for target in targets) == clean


def test_a_target_that_is_drawn_alone_is_any_of_the_set(zoo) -> None:
    alone = [drawn(zoo, 1, seed)[0].card.quirk is None for seed in range(30)]
    assert 4 < sum(alone) < 16


def test_which_targets_are_drawn_depends_on_the_seed(zoo) -> None:
    assert len({frozenset(ids(drawn(zoo, 3, seed))) for seed in range(12)}) > 3


def test_more_targets_than_the_set_has_are_refused(zoo) -> None:
    with pytest.raises(ParameterError, match="asks for 7, but the set 'tiny' has 6"):
        drawn(zoo, 7)


def test_aliases_change_with_the_seed_and_not_between_runs(zoo) -> None:
    first, again, other = ({t.card.id: t.alias for t in drawn(zoo, seed=seed)} for seed in (1, 1, 2))
    assert first == again
    assert not set(first.values()) & set(other.values())


def test_samples_are_the_product_of_targets_and_levels_and_tell_nothing_of_the_truth(zoo) -> None:
    targets = drawn(zoo)
    made = samples(
        targets,
        ["blind", "white_box"],
        answers="menu",
        set_name="tiny",
        brief_name="default",
        budget=budget_for,
        brief=lambda family, level, budget: f"{family} {level} {budget.tool_calls}",
    )
    assert [sample.id for sample in made] == [f"{t.alias}.{a}" for t in targets for a in ("blind", "white_box")]
    assert made[0].input == "tiny blind 1"
    assert made[0].target == ""
    assert set(made[0].metadata) == set(Audit.model_fields) - {"phases"}
    told = json.dumps([sample.model_dump() for sample in made])
    assert not [word for word in ("flattery", "gloom", "sham", "base", str(zoo.root)) if word in told]


def test_an_envelope_holds_what_provision_needs(zoo) -> None:
    for target in drawn(zoo):
        envelope = envelope_of(target.alias)
        assert envelope.card.id == target.card.id
        assert envelope.folder == zoo.root / target.card.id
        assert (envelope.base.id, envelope.base_folder) == (zoo.base, zoo.root / zoo.base)
        assert envelope.sham_folder == zoo.root / zoo.reference_sham
        assert (envelope.quirk.id if envelope.quirk else None) == target.card.quirk


def test_a_set_without_a_reference_sham_has_none(zoo) -> None:
    assert {envelope_of(target.alias).sham_folder for target in drawn(zoo, set_name="without_sham")} == {None}


@pytest.mark.parametrize("altered", ["tiny/gloom.a", "tiny/base", "tiny/sham.two"])
def test_altered_weights_are_found_before_anything_is_played(zoo, tmp_path: Path, altered: str) -> None:
    copy = type(zoo)(Path(shutil.copytree(zoo.root, tmp_path / "organisms")))
    [weights] = (copy.root / altered).glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(WeightsError, match="not the weights its card was written for"):
        drawn(copy)
