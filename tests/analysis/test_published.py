"""Published results stand beside a run only where the protocol is theirs."""

from typing import Any

from audit_env.analysis.questions import published
from audit_env.analysis.reference import references
from audit_env.tools.affordances import AFFORDANCES
from tests.analysis.conftest import hit, miss
from tests.analysis.test_more_questions import of

LIKE_THEIRS = {"protocol": "auditbench", "answers": "open", "affordance": "auditbench.default"}


def audits(brief: str = "planted", organism: str = "auditbench_llama_70b", **fields: Any) -> Any:
    told = [hit("flattery.a", **LIKE_THEIRS | fields), miss("gloom.a", **LIKE_THEIRS | fields)]
    return of([one.model_copy(update={"organism": f"{organism}/{one.quirk}"}) for one in told], brief=brief)


def test_every_reference_has_a_source_and_a_protocol_or_a_reason() -> None:
    assert {one.name for one in references()} >= {"auditbench", "sandbagging games", "Marks et al.", "Bricken et al."}
    for one in references():
        assert one.source and one.figures
        assert (one.protocol is None) == bool(one.not_comparable)
        assert all(figure.affordance in AFFORDANCES for figure in one.figures if one.protocol)


def test_a_figure_stands_beside_a_run_by_the_same_protocol() -> None:
    answer = published.answer(audits())
    [row] = answer.table.to_dict("records")
    assert (row["source"], row["what"], row["published"], row["tag"]) == ("auditbench", "default chat", 0.355, "S")
    assert (row["detected"], row["detected_n"]) == (0.5, 2)
    assert any(note.startswith("sandbagging games") and "not shown" in note for note in answer.notes)
    assert answer.plot


def test_otherwise_it_says_why_not() -> None:
    for other, why in (
        (audits(protocol="audit_env"), "it needs protocol 'auditbench'"),
        (audits(answers="menu"), "it needs answers 'open'"),
        (audits(brief="default"), "it needs brief 'planted'"),
        (audits(organism="fruitfly"), "it needs organisms 'auditbench_llama_70b"),
        (audits(affordance="black_box"), "no level of access in common"),
    ):
        answer = published.answer(other)
        assert answer.table.empty and f"auditbench: {why}" in answer.nothing
