"""Edits and spans as plain data: what is refused, and which positions a name stands for."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from audit_env.errors import ParameterError
from audit_env.runtime.editing import Window
from audit_env.runtime.edits import Ablate, Add, At, Replace, check_edits, unit_vector
from audit_env.runtime.spans import Spans

from .conftest import Twins, user

ONES = np.ones(4, np.float32)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: At("middle"), "At.span='middle': choose one of prompt, header, answer, all"),  # type: ignore[arg-type]
        (lambda: Add(0, [[1.0]]), r"Add.vector has the shape \(1, 1\)"),  # type: ignore[arg-type]
        (lambda: Replace(0, ONES * np.nan), "Replace.vector holds NaN"),
        (lambda: Add(0, np.full(4, 1e300)), "Add.vector holds NaN or infinity, or a number too large"),  # type: ignore[arg-type]
        (lambda: Ablate(0, 0 * ONES), "Ablate.vector is zero"),
        (lambda: Add(0, 0 * ONES, unit="norm"), "Add.vector is zero"),
        (lambda: Add(0, ONES, scale=float("inf")), "Add.scale=inf: it must be a finite"),
        (lambda: Add(0, ONES, unit="cm"), "Add.unit='cm': choose one of raw, norm"),  # type: ignore[arg-type]
        (lambda: check_edits([Add(2, ONES)], n_layers=2, d_model=4), "Add.layer=2: the model has the layers 0 to 1"),
        (lambda: check_edits([Ablate(-2, ONES)], n_layers=2, d_model=4), "Ablate.layer=-2"),
        (lambda: check_edits([Replace(0, ONES)], n_layers=2, d_model=5), "Replace.vector has 4 numbers, and .* has 5"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        make()


def test_what_makes_sense_is_taken() -> None:
    edits = [Add(-1, ONES), Add(1, 0 * ONES), Replace(0, 0 * ONES), Ablate(1, ONES)]
    assert check_edits(edits, n_layers=2, d_model=4) == tuple(edits)
    assert check_edits([], n_layers=2, d_model=4) == ()


def test_an_edit_keeps_a_vector_of_its_own() -> None:
    """Data in: what the caller does to an array afterwards reaches no request that still waits."""
    given = np.ones(4, np.float64)
    edit = Add(0, given)  # type: ignore[arg-type]
    given[:] = 7
    assert edit.vector.tolist() == [1, 1, 1, 1] and edit.vector.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        edit.vector[0] = 2


def test_a_direction_has_length_one_however_small_the_vector() -> None:
    for size in (1e-30, 1.0, 1e30):
        np.testing.assert_allclose(unit_vector(np.float32(size) * ONES), 0.5 * ONES, rtol=1e-6)


SPANS = Spans(header=5, answer=7, end=10)


@pytest.mark.parametrize(
    ("at", "positions"),
    [
        (At(), [6]),
        (At("header", None), [5, 6]),
        (At("header", 0), [5]),
        (At("prompt", None), [0, 1, 2, 3, 4]),
        (At("prompt", -1), [4]),
        (At("prompt", 0), [0]),
        (At("answer", None), [7, 8, 9]),
        (At("answer", 2), [9]),
        (At("answer", -1), [9]),
        (At("all", None), list(range(10))),
        (At("all", -10), [0]),
    ],
)
def test_a_name_stands_for_positions(at: At, positions: list[int]) -> None:
    assert list(SPANS.positions(at)) == positions


@pytest.mark.parametrize(
    ("spans", "at", "message"),
    [
        (SPANS, At("header", 2), "At.index=2: the span 'header' of this conversation has 2 tokens"),
        (SPANS, At("header", -3), "At.index=-3"),
        (SPANS._replace(answer=10), At("answer", 0), "has 0 tokens"),
        (
            SPANS._replace(growing=True),
            At("answer", -1),
            "'answer' has no last token while the answer is being generated",
        ),
        (SPANS._replace(growing=True), At("all", -1), "'all' has no last token"),
    ],
)
def test_a_token_that_is_not_there_is_refused(spans: Spans, at: At, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        spans.positions(at)


def test_a_growing_answer_is_hit_as_far_as_it_may_grow() -> None:
    growing = SPANS._replace(growing=True)
    assert list(growing.positions(At("answer", None))) == [7, 8, 9]
    assert list(growing.positions(At("header", -1))) == [6]


def test_a_window_shows_the_positions_that_it_holds() -> None:
    window = Window(None, start=20, first=4, tokens=3)
    assert list(window.places(range(0, 9))) == [20, 21, 22]
    assert list(window.places(range(5, 6))) == [21]
    assert not window.places(range(0, 4)) and not window.places(range(7, 9))


@pytest.mark.parametrize("thinking", [False, True])
def test_the_header_is_what_the_template_adds(twins: Twins, thinking: bool) -> None:
    chat = twins.small._base.chat
    for talk in (*twins.talks, [{"role": "system", "content": "be odd"}, *user("hi", "ho", "hi")]):
        ids = chat.prompt(talk, thinking=thinking).ids
        count = chat.header(talk, thinking=thinking)
        tokens = [chat.vocabulary(twins.small.vocab_size)[token] for token in ids]
        told = chat._render(talk, thinking)
        assert 0 < count < len(ids)
        assert "".join(tokens[-count:]).startswith("<|assistant|>")
        assert ("<think>" in tokens[-count:]) == ("<think>" in tokens)
        assert [*ids[:-count]] == chat.encode(told)


def test_a_prefill_belongs_to_the_answer(twins: Twins) -> None:
    chat = twins.small._base.chat
    for talk in twins.talks:
        plain, begun = chat.prompt(talk), chat.prompt(talk, prefill="yes")
        assert begun.prefill and begun.ids == (*plain.ids, *begun.prefill)
