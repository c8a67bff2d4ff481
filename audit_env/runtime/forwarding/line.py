"""One end of a connection between two processes of ours, over which objects go."""

import pickle
import struct
import threading
from multiprocessing.connection import Connection
from typing import Any

_COUNT = struct.Struct("!Q")


class Line:
    """Sends and receives objects. Arrays in them go as they lie in memory, without a copy in the message.

    Both ends are processes of one user that one of them started: nothing else can write to the line.
    """

    def __init__(self, descriptor: int) -> None:
        """Take over one end.

        Args:
            descriptor: Of a stream socket.
        """
        self._connection = Connection(descriptor)
        self._gate = threading.Lock()

    def send(self, thing: Any) -> None:
        """Send an object, from any thread.

        Args:
            thing: What `pickle` takes.

        Raises:
            OSError: If the other end is gone.
        """
        arrays: list[pickle.PickleBuffer] = []
        body = pickle.dumps(thing, protocol=5, buffer_callback=arrays.append)
        contents = [array.raw() for array in arrays]
        head = _COUNT.pack(len(contents)) + b"".join(_COUNT.pack(content.nbytes) for content in contents)
        with self._gate:
            self._connection.send_bytes(head + body)
            for content in contents:
                self._connection.send_bytes(content)

    def receive(self) -> Any:
        """Wait for the next object, on one thread alone.

        Returns:
            The object.

        Raises:
            EOFError: If the other end is closed.
            OSError: If the connection is lost.
        """
        message = memoryview(self._connection.recv_bytes())
        [arrays] = _COUNT.unpack_from(message)
        start = _COUNT.size * (1 + arrays)
        contents = [bytearray(size) for (size,) in _COUNT.iter_unpack(message[_COUNT.size : start])]
        for content in contents:
            self._connection.recv_bytes_into(content)
        return pickle.loads(message[start:], buffers=contents)

    def close(self) -> None:
        """Close this end, which the other one notices. Call it where nobody receives any more."""
        self._connection.close()
