from inspect_ai.log import EvalLog, read_eval_log

from audit_env.game.viewer import game_viewer
from tests.game.conftest import scores


def test_the_configuration_travels_in_the_log(game: EvalLog) -> None:
    assert read_eval_log(game.location, header_only=True).eval.viewer == game_viewer()


def test_every_score_column_is_there_to_be_shown(game: EvalLog) -> None:
    view = game_viewer().task_samples_view
    assert view is not None and not isinstance(view, list) and view.columns and view.score_labels
    shown = {column.id.removeprefix("score__verdict__") for column in view.columns if column.id.startswith("score__")}
    [value] = {tuple(score.value) for score in scores(game) if isinstance(score.value, dict)}
    assert shown == set(view.score_labels) == set(value)
