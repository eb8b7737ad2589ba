"""Connections that are lent to one thread after the other."""

from collections import deque
from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine


class Connections:
    """An engine's connections. Up to `kept` idle ones stay out of its pool, which is dear to ask."""

    def __init__(self, engine: Engine, kept: int = 0) -> None:
        self._engine = engine
        self._idle: deque[Connection] = deque()
        self._kept = kept

    @contextmanager
    def lent(self) -> Generator[Connection]:
        connection = self.take()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self.give_back(connection)

    def take(self) -> Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return self._engine.connect()

    def give_back(self, connection: Connection) -> None:
        if len(self._idle) < self._kept:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()
