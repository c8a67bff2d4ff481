"""The loop that answers calls, on a thread of this process, with subjects that tell what happens to them."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from audit_env.errors import EngineClosed
from audit_env.runtime.forwarding.line import Line
from audit_env.runtime.forwarding.messages import Answer, Call, Cancel, Facts, Failure, Forget
from audit_env.runtime.forwarding.worker import Worker
from audit_env.runtime.perturbation import Perturbation
from audit_env.runtime.subject import Conversation, Sample, Subject


class Slow(Subject):
    """Answers when it is let go."""

    engine = "slow"
    alias = "t-slow"
    capabilities = frozenset({"generate"})
    n_layers = d_model = vocab_size = context_length = 1

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.cancelled = threading.Event()
        self.go = asyncio.Event()
        self.copies = 0

    async def generate(self, conversations: Sequence[Conversation], **how: Any) -> list[list[Sample]]:
        self.asked.append(f"begins {how['seed']}")
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return []

    @asynccontextmanager
    async def perturbed(self, how: Perturbation) -> AsyncIterator[Subject]:
        self.copies += 1
        yield Slow()
        self.copies -= 1

    def tokens(self) -> list[str]:
        self.go.set()
        return ["soup"]

    def embedding(self) -> Any:
        return lambda: None  # which cannot be sent


@pytest.fixture
def asked() -> Iterator[tuple[Line, Slow]]:
    """A worker with subject number 0, and the line to it."""
    ours, theirs = socket.socketpair()
    line, subject = Line(ours.detach()), Slow()
    worker = Worker(Line(theirs.detach()))
    worker._subjects[0] = subject
    thread = threading.Thread(target=lambda: asyncio.run(worker.work()))
    thread.start()
    yield line, subject
    line.close()
    thread.join(60)
    assert not thread.is_alive()


def test_calls_are_answered_as_they_end(asked: tuple[Line, Slow]) -> None:
    line, subject = asked
    for number in (1, 2):
        line.send(Call(number, 0, "generate", ([],), {"seed": number}))
    line.send(Call(3, 0, "tokens"))
    assert line.receive() == Answer(3, ["soup"])
    assert {line.receive().number for _ in range(2)} == {1, 2}
    assert subject.asked == ["begins 1", "begins 2"]


def test_a_call_is_cancelled_where_nobody_waits_any_more(asked: tuple[Line, Slow]) -> None:
    line, subject = asked
    line.send(Call(1, 0, "generate", ([],), {"seed": 1}))
    line.send(Call(2, 0, "encode", ("soup",)))
    assert isinstance(line.receive(), Failure)  # of the second: so the first has begun
    line.send(Cancel(1))
    line.send(Cancel(5))  # which has ended long ago
    assert subject.cancelled.wait(60)
    line.send(Call(6, 0, "tokens"))
    assert line.receive() == Answer(6, ["soup"])


def test_what_cannot_be_sent_is_told_as_an_error(asked: tuple[Line, Slow]) -> None:
    line, _ = asked
    line.send(Call(1, 0, "embedding"))
    failure = line.receive()
    assert isinstance(failure, Failure) and failure.number == 1 and "pickle" in failure.text


def test_a_perturbed_copy_goes_when_it_is_forgotten(asked: tuple[Line, Slow]) -> None:
    line, subject = asked
    line.send(Call(1, None, "perturb", (0, Perturbation(noise=0.1))))
    facts = line.receive().value
    assert isinstance(facts, Facts) and subject.copies == 1
    for number in (2, 3):
        line.send(Forget(facts.number))
        line.send(Call(number, facts.number, "tokens"))
        assert isinstance(line.receive().error, EngineClosed)
    assert subject.copies == 0


def test_a_subject_that_was_forgotten_is_closed(asked: tuple[Line, Slow]) -> None:
    line, _ = asked
    line.send(Forget(0))
    line.send(Forget(0))
    line.send(Call(1, 0, "tokens"))
    assert isinstance(line.receive().error, EngineClosed)
