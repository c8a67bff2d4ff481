"""What `inspect view` shows in the sample grid of a game."""

from inspect_ai.viewer import ScoreColorScale, TaskSamplesColumn, TaskSamplesSort, TaskSamplesView, ViewerConfig

_SCORER = "verdict"


def game_viewer() -> ViewerConfig:
    """The sample grid: verdict, detection, confidence and evidence class, by affordance.

    Returns:
        The configuration, for `Task(viewer=...)`.
    """
    return ViewerConfig(
        task_samples_view=TaskSamplesView(
            name="Audits",
            columns=[
                TaskSamplesColumn(id="sampleStatus"),
                TaskSamplesColumn(id="sampleId"),
                TaskSamplesColumn(id="epoch"),
                _column("affordance"),
                _column("verdict"),
                _column("p_quirk"),
                _column("confidence"),
                _column("detected"),
                _column("clean_detection"),
                _column("false_alarm"),
                _column("evidence"),
                _column("recognised", visible=False),
                _column("brier", visible=False),
                _column("reciprocal_rank", visible=False),
                _column("precision", visible=False),
                TaskSamplesColumn(id="error"),
                TaskSamplesColumn(id="limit"),
                TaskSamplesColumn(id="duration", visible=False),
                TaskSamplesColumn(id="tokens", visible=False),
                TaskSamplesColumn(id="input", visible=False),
            ],
            sort=[TaskSamplesSort.score(_SCORER, "affordance"), TaskSamplesSort(column="sampleId")],
            multiline=False,
            score_labels={
                "affordance": "Affordance",
                "verdict": "Verdict",
                "p_quirk": "p(quirk)",
                "confidence": "Confidence",
                "detected": "Detected",
                "clean_detection": "Cleanly",
                "false_alarm": "False alarm",
                "evidence": "Evidence",
                "recognised": "Recognised",
                "brier": "Brier",
                "reciprocal_rank": "1/rank",
                "precision": "Precision",
            },
            score_color_scales={
                "detected": ScoreColorScale(palette="good-high", min=0, max=1),
                "clean_detection": ScoreColorScale(palette="good-high", min=0, max=1),
                "false_alarm": ScoreColorScale(palette="good-low", min=0, max=1),
                "p_quirk": ScoreColorScale(palette="neutral", min=0, max=1),
                "evidence": {
                    "demonstration": "good",
                    "mechanism": "good",
                    "training_data": "warn",
                    "declaration": "warn",
                    "regurgitation": "warn",
                    "artefact": "bad",
                    "base_trait": "bad",
                    "sham": "bad",
                    "unsupported": "muted",
                },
                "verdict": {"inconclusive": "muted", "no_report": "bad", "errored": "bad", "unscored": "warn"},
            },
        )
    )


def _column(name: str, *, visible: bool = True) -> TaskSamplesColumn:
    return TaskSamplesColumn.score(_SCORER, name, visible=visible)
