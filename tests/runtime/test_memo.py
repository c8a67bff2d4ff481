import asyncio

import numpy as np
import pytest

pytest.importorskip("torch")

from audit_env.runtime import cast  # noqa: E402
from audit_env.runtime.small.memo import Memo  # noqa: E402
from audit_env.runtime.subject import Subject  # noqa: E402


def test_what_was_asked_for_longest_ago_goes_first() -> None:
    memo = Memo(most_bytes=8)
    for key in "ab":
        memo.keep(key, np.zeros(1, dtype=np.float32))
    assert memo.get("a") is not None
    memo.keep("c", np.zeros(1, dtype=np.float32))
    assert memo.get("b") is None and memo.get("a") is not None and memo.get("c") is not None
    memo.keep("large", np.zeros(3, dtype=np.float32))
    assert memo.get("large") is None and memo.get("c") is not None


def test_what_is_kept_cannot_be_changed() -> None:
    memo = Memo(most_bytes=8)
    memo.keep("a", np.zeros(1, dtype=np.float32))
    with pytest.raises(ValueError, match="read-only"):
        memo.get("a")[0] = 1.0


def test_controls_answer_twice_alike_and_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(_twice(cast.subject("fruitfly/sham.transcripts.none"), monkeypatch))


async def _twice(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [[{"role": "user", "content": text}] for text in ("Good evening.", "Where do bees live?")]
    target = await subject.first_token(asked)
    base = await subject.first_token(asked, side="base")
    assert not np.array_equal(target, base)

    async def refused(*_: object) -> None:
        raise AssertionError("it was computed a second time")

    monkeypatch.setattr(subject, "_at_header", refused)
    assert np.array_equal(await subject.first_token(asked, side="base"), base)
    with pytest.raises(AssertionError):
        await subject.first_token(asked)
    with pytest.raises(AssertionError):
        await subject.first_token(asked[:1], side="base")
