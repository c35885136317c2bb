"""A small library of collectives over sockets, made in the image of MPI: blocking calls on communicators. It knows nothing of torch.

Rank 0 listens; a collective is a message to it with everybody's contribution, which it answers when all members have sent theirs.
"""

from __future__ import annotations

import pickle
import socket
import struct
import threading
from collections import defaultdict
from typing import Any


def _send(connection: socket.socket, message: object) -> None:
    data = pickle.dumps(message)
    connection.sendall(struct.pack("!I", len(data)) + data)


def _receive(connection: socket.socket) -> Any:
    def exactly(size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = connection.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    return pickle.loads(exactly(struct.unpack("!I", exactly(4))[0]))


def serve(listener: socket.socket, size: int) -> None:
    """Answer each call when all members of its communicator have made as many; what they call is not looked at."""
    waiting: defaultdict[Any, dict[int, tuple[socket.socket, object]]] = defaultdict(dict)
    lock = threading.Lock()

    def rank(connection: socket.socket) -> None:
        while True:
            try:
                who, members, number, value = _receive(connection)
            except (EOFError, OSError):
                return
            with lock:
                calls = waiting[members, number]
                calls[who] = (connection, value)
                if len(calls) == len(members):
                    values = [calls[member][1] for member in members]
                    for waiter, _ in calls.values():
                        _send(waiter, values)

    for _ in range(size):
        threading.Thread(target=rank, args=(listener.accept()[0],), daemon=True).start()


class Communicator:
    """Some ranks; `allreduce`, `bcast` and `barrier` return when all of them have called."""

    def __init__(self, connection: socket.socket, rank: int, members: tuple[int, ...], name: str) -> None:
        self._connection, self.rank, self.members, self.name = connection, rank, members, name
        self._calls = 0

    def _exchange(self, value: object) -> list[Any]:
        self._calls += 1
        _send(self._connection, (self.rank, self.members, self._calls, value))
        values: list[Any] = _receive(self._connection)
        return values

    def allreduce(self, values: list[float], op: str = "sum") -> list[float]:
        columns = zip(*self._exchange(values), strict=False)
        return [max(column) if op == "max" else sum(column) for column in columns]

    def bcast(self, values: list[float] | None, root: int = 0) -> list[float]:
        sent: list[float] = self._exchange(values)[root]
        return sent

    def barrier(self) -> None:
        self._exchange(None)

    def create(self, members: tuple[int, ...], name: str) -> Communicator:
        self._exchange(None)
        return Communicator(self._connection, self.rank, members, name)


def world(rank: int, size: int, address: str) -> Communicator:
    """The communicator of all ranks."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    return Communicator(connection, rank, tuple(range(size)), "world")
