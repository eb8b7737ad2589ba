"""Writers wait for each other, and readers for nobody (I6), however many there are."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.database import Database
from core.model import BucketId

WRITERS = 70
"""More than there are connections."""


@pytest.fixture
def database(empty_database_url: str) -> Iterator[Database]:
    database = Database(empty_database_url)
    yield database
    database.close()


def test_readers_do_not_wait_for_the_writers_of_a_bucket_nor_for_those_who_want_to_be(database: Database) -> None:
    bucket, begun = BucketId(7), threading.Barrier(WRITERS + 1)

    def write() -> None:
        begun.wait(30)
        with database.write(bucket):
            pass

    with ThreadPoolExecutor(WRITERS) as pool:
        with database.write(bucket):
            waiting = [pool.submit(write) for _ in range(WRITERS)]
            begun.wait(30)
            time.sleep(0.5)

            started = time.monotonic()
            with database.read() as tx:
                assert tx.now

            assert time.monotonic() - started < 5
            assert not any(one.done() for one in waiting)
        for one in waiting:
            one.result(30)


def test_the_writers_of_two_buckets_do_not_block_each_other_for_ever(database: Database) -> None:
    def write(*buckets: BucketId) -> None:
        for _ in range(20):
            with database.write(*buckets):
                pass

    one, two = BucketId(1), BucketId(2)
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(write, *buckets) for buckets in ((one, two), (two, one), (one,), (two, two))]:
            done.result(60)
