"""What those who race on a store were told, for the checks at the end."""

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field


@dataclass
class Journal:
    """What one of them has been told."""

    files: dict[str, str] = field(default_factory=dict[str, str])
    """Paths, `/`-separated, to the digests of what is stored there."""
    older: dict[str, str] = field(default_factory=dict[str, str])
    """Paths of files that have versions, to the digests of the newest."""
    profiles: dict[str, str] = field(default_factory=dict[str, str])
    """Ids of a host's rows that are committed, to the digests of what they show."""
    acknowledged: int = 0
    rounds: int = 0
    """How often it set out to do something."""
    refused: list[str] = field(default_factory=list[str])
    broken: str = ""


class Actor(ABC):
    """Does one thing after the other until the time is over."""

    def __init__(self, until: float) -> None:
        self.journal = Journal()
        self._until = until

    def work(self) -> None:
        try:
            while time.monotonic() < self._until:
                self._step()
                self.journal.rounds += 1
        except BaseException as failure:
            self.journal.broken = repr(failure)
            raise

    @abstractmethod
    def _step(self) -> None: ...
