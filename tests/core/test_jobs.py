"""Background jobs: one runner at a time, whatever dies; times by the database's clock."""

from collections.abc import Callable, Sequence
from threading import Barrier, Thread

import pytest
from sqlalchemy import select, update

from core import jobs
from core.database import Database
from core.errors import StorageUnavailable
from core.jobs import LEASE, Job, run_due
from core.model import SECOND
from core.schema_services import jobs as rows
from core.store import Store
from core.tempo import Tempo

HOUR = 3600 * SECOND


def never_ends(seconds: float) -> bool:
    return False


def job(name: str = "tidy", every: int = HOUR, work: Callable[[Tempo], Sequence[str]] = lambda tempo: ()) -> Job:
    return Job(name, every, work)


def ran(database: Database, *every: Job, wait: jobs.Wait = never_ends) -> list[str]:
    return run_due(database, every, wait)


def change(database: Database, **columns: object) -> None:
    with database.write() as tx:
        tx.execute(update(rows).values(**columns))


def now(database: Database) -> int:
    with database.read() as tx:
        return tx.now


def state(database: Database, wanted: Job) -> jobs.JobState:
    with database.read() as tx:
        return jobs.states(tx, [wanted])[0]


def test_a_job_that_never_ran_is_due(store: Store):
    assert jobs.seconds_until_due(store.database, [job()]) == 0
    assert ran(store.database, job()) == ["tidy"]


def test_a_job_is_due_again_when_its_time_has_passed_since_its_last_end(store: Store):
    ran(store.database, job())

    assert ran(store.database, job()) == []
    assert 3500 < jobs.seconds_until_due(store.database, [job()]) <= 3600

    change(store.database, last_run=now(store.database) - HOUR)
    assert ran(store.database, job()) == ["tidy"]


def test_the_next_time_is_that_of_the_first_job_that_is_due(store: Store):
    ran(store.database, job("tidy"), job("rest"))

    assert 55 < jobs.seconds_until_due(store.database, [job("tidy"), job("rest", every=60 * SECOND)]) <= 60


def test_a_job_that_another_runs_is_left_alone_until_its_lease_is_over(store: Store, open_store: Callable[[], Store]):
    other = open_store()
    seen: list[list[str]] = []

    def work(tempo: Tempo) -> Sequence[str]:
        seen.append(ran(other.database, job()))
        assert state(other.database, job()).running
        return ()

    ran(store.database, job(work=work))

    assert seen == [[]]
    change(store.database, holder="somebody who died", last_run=None, lease=now(store.database) + LEASE)
    assert ran(other.database, job()) == []
    assert 55 < jobs.seconds_until_due(other.database, [job()]) <= 60
    change(store.database, lease=now(store.database))
    assert ran(other.database, job()) == ["tidy"]


def test_a_clock_that_was_ahead_once_stops_no_job(store: Store):
    ran(store.database, job())

    change(store.database, last_run=now(store.database) + 1000 * HOUR)
    assert jobs.seconds_until_due(store.database, [job()]) == 0
    change(store.database, holder="somebody", lease=now(store.database) + 1000 * HOUR)

    assert not state(store.database, job()).running
    assert ran(store.database, job()) == ["tidy"]
    assert ran(store.database, job()) == []


def test_of_many_who_come_at_once_one_runs_a_job(store: Store, open_store: Callable[[], Store]):
    stores = [store, *(open_store() for _ in range(3))]
    start, runs = Barrier(len(stores)), list[int]()

    def come(number: int) -> None:
        start.wait()
        ran(stores[number].database, job(work=lambda tempo: runs.append(number) or ()))

    threads = [Thread(target=come, args=(number,)) for number in range(len(stores))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(runs) == 1


@pytest.mark.expects_log("job (refused|broken)")
def test_a_job_that_fails_is_reported_and_stops_no_other(store: Store):
    def refuse(tempo: Tempo) -> Sequence[str]:
        raise StorageUnavailable("s3main", "does not answer")

    def breaks(tempo: Tempo) -> Sequence[str]:
        raise ZeroDivisionError("by zero")

    failing = job("refused", work=refuse), job("broken", work=breaks)

    assert ran(store.database, *failing, job()) == ["refused", "broken", "tidy"]
    assert state(store.database, failing[0]).last_error == "s3main: does not answer"
    assert state(store.database, failing[1]).last_error == "ZeroDivisionError: by zero"
    assert state(store.database, job()).last_error is None
    assert not state(store.database, failing[1]).running


@pytest.mark.expects_log("job tidy: files: refused")
def test_what_a_job_had_to_leave_undone_is_reported_until_a_run_leaves_nothing(store: Store):
    ran(store.database, job(work=lambda tempo: ["files: refused", "media: too"]))
    first = state(store.database, job())
    change(store.database, last_run=None)

    ran(store.database, job())

    assert first.last_error == "files: refused; media: too"
    assert state(store.database, job()).last_error is None


def test_a_job_that_is_told_to_end_ends_between_two_batches_and_is_due_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(jobs, "SPELL", 0.0)
    told, batches = False, list[int]()

    def work(tempo: Tempo) -> Sequence[str]:
        nonlocal told
        for number in range(10):
            batches.append(number)
            told = number == 2
            tempo.between()
        return ()

    ran(store.database, job(work=work), job("rest"), wait=lambda seconds: told)

    assert batches == [0, 1, 2]
    assert state(store.database, job()).last_run is None
    assert jobs.seconds_until_due(store.database, [job()]) == 0
    assert state(store.database, job("rest")).next_run is None


def test_a_job_that_is_told_to_end_before_it_began_does_not_begin(store: Store):
    assert ran(store.database, job(), wait=lambda seconds: True) == []


def test_a_long_job_keeps_its_lease(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jobs, "SPELL", 0.0)
    monkeypatch.setattr(jobs, "RENEWAL", 0.0)

    def work(tempo: Tempo) -> Sequence[str]:
        change(store.database, lease=now(store.database) + SECOND)
        tempo.between()
        with store.database.read() as tx:
            assert tx.scalar(select(rows.c.lease)) > tx.now + LEASE - SECOND
        return ()

    ran(store.database, job(work=work))

    assert state(store.database, job()).last_error is None


def test_a_job_whose_lease_went_to_another_ends_and_leaves_that_one_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(jobs, "SPELL", 0.0)
    monkeypatch.setattr(jobs, "RENEWAL", 0.0)
    went_on = False

    def work(tempo: Tempo) -> Sequence[str]:
        nonlocal went_on
        change(store.database, holder="another", lease=now(store.database) + LEASE)
        tempo.between()
        went_on = True
        return ()

    ran(store.database, job(work=work))

    assert not went_on
    assert state(store.database, job()).running
    assert state(store.database, job()).last_run is None


def test_work_beside_a_server_rests_four_times_as_long_as_it_works(store: Store, monkeypatch: pytest.MonkeyPatch):
    clock, rests = 100.0, list[float]()
    monkeypatch.setattr(jobs.time, "monotonic", lambda: clock)

    def work(tempo: Tempo) -> Sequence[str]:
        nonlocal clock
        assert tempo.longest == 0.004
        for spent in (0.001, 0.0005, 0.0085):
            clock += spent
            tempo.between()
        return ()

    def wait(seconds: float) -> bool:
        rests.extend([seconds] if seconds else ())
        return False

    ran(store.database, job(work=work), wait=wait)

    assert rests == [pytest.approx(0.04)]


def test_the_jobs_of_a_store_are_those_of_its_settings(store: Store):
    assert [job.name for job in store.jobs()] == ["collect", "uploads", "sweep", "scrub", "renditions"]
    assert store.run_due_jobs(never_ends) > 500
    assert [(job.running, job.last_error) for job in store.jobs()] == [(False, None)] * 5
