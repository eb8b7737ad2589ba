"""What an upload takes while it comes."""

import os
import sys

from davstore.request import BLOCK
from tests.davstore.client import Dav


class Stingy:
    """A body that notes how many of the blocks it gave are still held when the next is asked for."""

    def __init__(self) -> None:
        self.held: list[int] = []
        self._given: list[bytes] = []

    def read(self, size: int) -> bytes:
        # One reference is this object's, one is getrefcount's own.
        self.held.append(sum(sys.getrefcount(self._given[n]) > 2 for n in range(len(self._given))))
        self._given.append(os.urandom(size))
        return self._given[-1]


def test_one_block_of_an_upload_is_in_memory_while_the_next_comes_not_two(dav: Dav):
    body = Stingy()
    dav.environ |= {"wsgi.input": body}

    answer = dav("PUT", "/files/a", content_length=str(3 * BLOCK))

    assert answer.status == 201
    assert body.held == [0, 0, 0]
