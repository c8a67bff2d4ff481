"""Objects that cross from one process to another."""

import logging
import socket
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from audit_env.errors import MissingExtraError
from audit_env.runtime.forwarding.line import Line
from audit_env.runtime.forwarding.messages import Failure
from audit_env.runtime.forwarding.worker import LogToLine
from audit_env.runtime.subject import ContextOverflow


@pytest.fixture
def ends() -> Iterator[tuple[Line, Line]]:
    one, other = socket.socketpair()
    lines = Line(one.detach()), Line(other.detach())
    yield lines
    for line in lines:
        line.close()


def test_what_is_sent_comes_as_it_was(ends: tuple[Line, Line]) -> None:
    rng = np.random.default_rng(0)
    large = rng.normal(size=(700, 2000)).astype(np.float32)  # more than a socket holds at a time
    large.setflags(write=False)
    arrays = {"large": large, "none": large[:0], "turned": large[:5].T, "apart": large[::7, ::3], "one": large[0, 0]}
    sender = threading.Thread(target=lambda: [ends[0].send(one) for one in ("a", arrays, None, [arrays, arrays])])
    sender.start()
    first, found, none, twice = (ends[1].receive() for _ in range(4))
    sender.join()
    assert (first, none) == ("a", None)
    for one in (found, *twice):
        for name, array in arrays.items():
            np.testing.assert_array_equal(one[name], array)
            assert one[name].dtype == array.dtype and one[name].shape == array.shape


def test_threads_that_send_at_the_same_time_do_not_mix(ends: tuple[Line, Line]) -> None:
    senders = [
        threading.Thread(target=lambda number=number: [ends[0].send(np.full(5000, number)) for _ in range(50)])
        for number in range(4)
    ]
    for sender in senders:
        sender.start()
    found = [ends[1].receive() for _ in range(200)]
    assert sorted(array[0] for array in found) == sorted(list(range(4)) * 50)
    assert all((array == array[0]).all() and len(array) == 5000 for array in found)


def test_the_end_of_one_side_is_seen_by_the_other(ends: tuple[Line, Line]) -> None:
    one, other = socket.socketpair()
    here, there = Line(one.detach()), Line(other.detach())
    here.close()
    with pytest.raises(EOFError):
        there.receive()
    with pytest.raises(OSError, match=r"."):
        there.send("anyone ?")
    there.close()


@pytest.mark.parametrize(
    "error", [ContextOverflow(2000, 1024), MissingExtraError("torch", "local", "Computing"), ValueError("bad")]
)
def test_an_error_keeps_its_type_and_its_text(ends: tuple[Line, Line], error: Exception) -> None:
    def fails() -> None:
        raise error

    try:
        fails()
    except Exception as raised:
        ends[0].send(Failure.of(7, raised))
    failure = ends[1].receive()
    assert failure.number == 7
    assert (type(failure.error), str(failure.error)) == (type(error), str(error))
    assert "in fails" in "".join(failure.error.__notes__)


def test_an_error_of_another_package_comes_as_a_plain_one() -> None:
    error = Failure.of(1, np.linalg.LinAlgError("singular")).error
    assert (type(error), str(error)) == (RuntimeError, "LinAlgError: singular")


def test_what_is_logged_crosses_as_text(ends: tuple[Line, Line]) -> None:
    logger = logging.Logger("of.the.worker")
    logger.addHandler(LogToLine(ends[0]))
    try:
        raise ValueError("why")
    except ValueError:
        logger.warning("%d of %s", 3, object, exc_info=True)
    record = ends[1].receive().record
    assert record.getMessage().startswith(f"3 of {object}") and "ValueError: why" in record.getMessage()
    assert (record.name, record.levelname, record.args, record.exc_info) == ("of.the.worker", "WARNING", None, None)
