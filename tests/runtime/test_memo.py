import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from audit_env.runtime.memo import Memo, Once
from audit_env.runtime.subject import Conversation, Side, Subject

from .conftest import Pair


def test_what_was_asked_for_longest_ago_goes_first() -> None:
    memo: Memo[str] = Memo(most=2, size=len)
    memo.keep("a", "1")
    memo.keep("b", "1")
    assert memo.get("a") == "1"
    memo.keep("c", "1")
    assert (memo.get("a"), memo.get("b"), memo.get("c")) == ("1", None, "1")
    memo.keep("large", "111")
    assert memo.get("large") is None and memo.get("c") == "1"


class Slow:
    """Computes 7 when it is let, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None
        self.let = asyncio.Event()

    async def __call__(self) -> int:
        self.asked += 1
        await self.let.wait()
        if self.error is not None:
            raise self.error
        return 7


async def _others_run() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_those_who_ask_at_the_same_time_share_one_computation() -> None:
    async def ask() -> None:
        once: Once[int] = Once(Memo(most=10))
        slow = Slow()
        waiting = [asyncio.ensure_future(once.get("a", slow)) for _ in range(5)]
        other = asyncio.ensure_future(once.get("b", slow))
        await _others_run()
        slow.let.set()
        assert await asyncio.gather(*waiting, other) == [7] * 6
        assert await once.get("a", slow) == 7
        assert slow.asked == 2

    asyncio.run(ask())


def test_what_is_too_large_to_keep_is_still_shared_by_those_who_wait() -> None:
    async def ask() -> None:
        once: Once[int] = Once(Memo(most=3, size=int))
        slow = Slow()
        waiting = [asyncio.ensure_future(once.get("a", slow)) for _ in range(3)]
        await _others_run()
        slow.let.set()
        assert await asyncio.gather(*waiting) == [7] * 3
        assert slow.asked == 1
        assert await once.get("a", slow) == 7
        assert slow.asked == 2

    asyncio.run(ask())


@pytest.mark.parametrize("gone", [0, 1], ids=["the one who computes", "one who waits"])
def test_who_is_cancelled_takes_no_one_along(gone: int) -> None:
    async def ask() -> None:
        once: Once[int] = Once(Memo(most=10))
        slow = Slow()
        waiting = [asyncio.ensure_future(once.get("a", slow)) for _ in range(3)]
        await _others_run()
        waiting.pop(gone).cancel()
        await _others_run()
        slow.let.set()
        assert await asyncio.gather(*waiting) == [7, 7]
        assert slow.asked == (2 if gone == 0 else 1)

    asyncio.run(ask())


def test_a_failure_is_not_kept() -> None:
    async def ask() -> None:
        once: Once[int] = Once(Memo(most=10))
        slow = Slow()
        slow.error = MemoryError("planted")
        slow.let.set()
        for _ in range(2):
            with pytest.raises(MemoryError, match="planted"):
                await once.get("a", slow)
        slow.error = None
        assert await once.get("a", slow) == 7

    asyncio.run(ask())


def test_of_several_only_those_that_nobody_computes_yet_are_computed() -> None:
    async def ask() -> None:
        once: Once[str] = Once(Memo(most=10))
        let, asked = asyncio.Event(), []

        async def doubled(keys: Sequence[Any]) -> list[str]:
            asked.append(list(keys))
            await let.wait()
            return [2 * key for key in keys]

        both = [asyncio.ensure_future(once.get_all(keys, doubled)) for keys in (["a", "b"], ["c", "b", "a", "c"])]
        await _others_run()
        let.set()
        assert await asyncio.gather(*both) == [["aa", "bb"], ["cc", "bb", "aa", "cc"]]
        assert asked == [["a", "b"], ["c"]]
        assert await once.get_all(["b", "d"], doubled) == ["bb", "dd"]
        assert asked[2:] == [["d"]]

    asyncio.run(ask())


def test_what_failed_for_one_is_computed_for_the_others() -> None:
    async def ask() -> None:
        once: Once[int] = Once(Memo(most=10))
        slow = Slow()

        async def counted(keys: Sequence[Any]) -> list[int]:
            return [await slow() for _ in keys]

        first = asyncio.ensure_future(once.get_all(["a", "b"], counted))
        second = asyncio.ensure_future(once.get_all(["b", "c"], counted))
        await _others_run()
        first.cancel()
        slow.let.set()
        assert await second == [7, 7]
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(ask())


def test_a_control_that_several_ask_at_the_same_time_answers_once(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = pair.subject(1)
    engine, sent = pair.base.engine, []
    generate = engine.generate
    monkeypatch.setattr(engine, "generate", lambda requests: (sent.append(len(requests)), generate(requests))[1])
    asked = [[{"role": "user", "content": "Who mends the roof at night?"}]]

    async def together(side: Side) -> list[Any]:
        return await asyncio.gather(
            *(subject.generate(asked, side=side, n=n, seed=3, max_tokens=12) for n in (2, 2, 3))
        )

    one, two, three = asyncio.run(together("base"))
    assert one == two and three[0][:2] == one[0]
    assert sent == [2, 1]
    sent.clear()
    asyncio.run(together("target"))
    assert sent == [2, 2, 3]


def test_a_control_is_asked_once_and_the_target_every_time(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(_asked(pair.subject(1), monkeypatch))


async def _asked(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, sent = subject._base.engine, []
    generate = engine.generate
    monkeypatch.setattr(engine, "generate", lambda requests: (sent.append(len(requests)), generate(requests))[1])
    asked = [[{"role": "user", "content": "How do I mend a torn kite?"}]]
    for side, computed in (("target", [2, 2]), ("base", [2])):
        sent.clear()
        first, again = [
            await subject.generate(asked, side=side, n=2, temperature=0.9, seed=5, max_tokens=12) for _ in range(2)
        ]
        assert first == again and first[0][0] != first[0][1]
        assert sent == computed
    sent.clear()
    await subject.generate(asked, side="base", n=2, temperature=0.9, seed=6, max_tokens=12)
    assert sent == [2], "another seed is another answer"


def test_controls_answer_twice_alike_and_are_computed_once(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(_twice(pair.subject(1), monkeypatch))


async def _twice(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [[{"role": "user", "content": text}] for text in ("Good evening.", "Where do bees live?")]
    target = await subject.first_token(asked)
    base = await subject.first_token(asked, side="base")
    assert not np.array_equal(target, base)

    both = [[{"role": "user", "content": text}] for text in ("Good night.", "Where do foxes live?")]
    asked_of, at_header = [], subject._at_header

    async def noted(conversations: Sequence[Conversation], side: Side, *rest: Any) -> Any:
        asked_of.append(side)
        return await at_header(conversations, side, *rest)

    monkeypatch.setattr(subject, "_at_header", noted)
    one, other = await asyncio.gather(*(subject.first_token(both, side="base") for _ in range(2)))
    assert one is other and asked_of == ["base"], "audits run side by side"

    async def refused(*_: object) -> None:
        raise AssertionError("it was computed a second time")

    monkeypatch.setattr(subject, "_at_header", refused)
    assert np.array_equal(await subject.first_token(asked, side="base"), base)
    with pytest.raises(AssertionError):
        await subject.first_token(asked)
    with pytest.raises(AssertionError):
        await subject.first_token(asked[:1], side="base")


def test_a_value_is_made_once_and_again_where_it_was_not_kept() -> None:
    memo, made = Memo[str](3, len), []

    def of(key: str) -> str:
        return memo.made(key, lambda: made.append(key) or key)

    assert [of("ab"), of("ab"), of("long"), of("long")] == ["ab", "ab", "long", "long"]
    assert made == ["ab", "long", "long"]  # the long one is larger than all that is kept
