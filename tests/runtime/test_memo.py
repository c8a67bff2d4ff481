import asyncio

import numpy as np
import pytest

pytest.importorskip("torch")

from audit_env.runtime import cast  # noqa: E402
from audit_env.runtime.small.memo import Memo  # noqa: E402
from audit_env.runtime.subject import Subject  # noqa: E402


def test_what_was_asked_for_longest_ago_goes_first() -> None:
    memo: Memo[str] = Memo(most=2, size=len)
    memo.keep("a", "1")
    memo.keep("b", "1")
    assert memo.get("a") == "1"
    memo.keep("c", "1")
    assert (memo.get("a"), memo.get("b"), memo.get("c")) == ("1", None, "1")
    memo.keep("large", "111")
    assert memo.get("large") is None and memo.get("c") == "1"


def test_a_control_is_asked_once_and_the_target_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(_asked(cast.subject("fruitfly/sham.transcripts.none"), monkeypatch))


async def _asked(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, sent = subject._base.engine, []
    generate = engine.generate
    monkeypatch.setattr(engine, "generate", lambda requests: (sent.append(len(requests)), generate(requests))[1])
    asked = [[{"role": "user", "content": "How do I mend a torn kite?"}]]
    for side, computed in (("target", [2, 2]), ("base", [2, 0])):
        sent.clear()
        first, again = [
            await subject.generate(asked, side=side, n=2, temperature=0.9, seed=5, max_tokens=12) for _ in range(2)
        ]
        assert first == again and first[0][0] != first[0][1]
        assert sent == computed
    sent.clear()
    await subject.generate(asked, side="base", n=2, temperature=0.9, seed=6, max_tokens=12)
    assert sent == [2], "another seed is another answer"


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
