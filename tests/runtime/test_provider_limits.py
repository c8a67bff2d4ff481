"""Callers that leave by one of Inspect's time limits while an engine is busy."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import GenerateConfig, get_model
from inspect_ai.solver import generate
from tenacity import RetryError

import audit_env._registry  # noqa: F401
from audit_env.catalog.files import Catalog
from audit_env.runtime import cast

from .conftest import run

pytestmark = pytest.mark.usefixtures("fresh_cast", "catalog")

ENGINES = ("small", "hf")
ORGANISM = "tiny/gloom.a"


@pytest.fixture
def catalog(zoo: Any, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    found = Catalog(zoo.root)
    monkeypatch.setattr(cast, "_catalog", lambda: found)
    return found


@contextmanager
def busy(engine: str) -> Iterator[Any]:
    """The organism's base, whose engine computes something else meanwhile."""
    base = cast.subject(cast.pinned(ORGANISM), engine)._base  # type: ignore[attr-defined]
    hold = threading.Event()
    base.engine.run(lambda _: hold.wait(600))
    try:
        yield base
    finally:
        hold.set()


def rows_left(base: Any) -> int:
    """Rows that wait or run, looked at on the engine's own thread, after one more of its steps."""

    def count(_: Any) -> int:
        batch = base.engine._batch if hasattr(base.engine, "_batch") else base.engine.batch
        rows = batch._waiting.rows
        running = batch._rows if hasattr(batch, "_rows") else batch._running.rows if batch._running else []
        return sum(not row.request.future.cancelled() for row in (*rows, *running))

    found: int = base.engine.run(count).result(60)
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_a_call_that_times_out_leaves_and_the_next_is_answered(engine: str) -> None:
    model = get_model(f"organism/{ORGANISM}", memoize=False, engine=engine)
    limits = GenerateConfig(attempt_timeout=1, timeout=1, max_retries=1, max_tokens=8)
    with busy(engine) as base, pytest.raises(RetryError, match="AttemptTimeoutError"):
        run(model.generate("what is soup ?", config=limits))
    assert rows_left(base) == 0
    assert run(model.generate("what is soup ?", config=GenerateConfig(max_tokens=8))).completion


@pytest.mark.parametrize("engine", ENGINES)
def test_samples_that_run_out_of_time_leave_and_the_next_are_answered(engine: str, tmp_path: Path) -> None:
    words = ("soup", "tea", "bread", "rain")
    task = Task(dataset=[Sample(input=f"what is {word} ?") for word in words], solver=generate())
    options: dict[str, Any] = {"model": f"organism/{ORGANISM}", "model_args": {"engine": engine}}
    options |= {"log_dir": str(tmp_path), "display": "none"}
    with busy(engine) as base:
        [log] = eval(task, time_limit=1, **options)
    assert [sample.limit.type for sample in log.samples or [] if sample.limit] == ["time"] * 4
    assert rows_left(base) == 0
    [log] = eval(task, **options)
    assert log.status == "success" and all(sample.output.completion for sample in log.samples or [])
