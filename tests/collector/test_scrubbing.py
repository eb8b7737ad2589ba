"""Scrub: its verdicts share transactions, are kept when it is stopped, and get in no upload's way."""

import threading
from pathlib import Path

import pytest
from sqlalchemy import event, text, update

from core import scrubbing
from core.jobs import Stopped
from core.schema import objects
from core.scrubbing import scrub
from core.store import Store
from core.tempo import Tempo
from tests.collector import life
from tests.collector.life import PHOTO
from tests.parts import stores


def blob(store: Store) -> Path:
    return store.settings.data / "blobs" / life.only_object(store).key


def verdicts(store: Store) -> list[str | None]:
    return [row.verdict for row in life.rows(store, objects)]


def test_verdicts_share_their_transactions(store: Store):
    for n in range(50):
        life.put(store, f"{n}.txt", PHOTO + bytes([n]), "files" if n % 2 else "media")
    commits: list[object] = []

    def count(connection: object) -> None:
        commits.append(connection)

    event.listen(store.database.engine, "commit", count)

    done = store.scrub()

    event.remove(store.database.engine, "commit", count)
    assert (done.verified, verdicts(store)) == (50, ["ok"] * 50)
    assert len(commits) == 2, "one for each bucket"


def test_a_verdict_waits_for_others_a_second_at_most(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scrubbing, "LATEST", -1.0)
    seen: list[int] = []
    for n in range(3):
        life.put(store, f"{n}.txt", PHOTO + bytes([n]))

    def look() -> None:
        seen.append(verdicts(store).count("ok"))

    scrub(store.database, store.contents, tempo=Tempo(between=look))

    assert seen == [0, 1, 2]


def test_a_scrub_that_is_stopped_has_kept_its_verdicts(store: Store):
    for n in range(3):
        life.put(store, f"{n}.txt", PHOTO + bytes([n]))
    steps = iter([None, None, Stopped])

    def stop() -> None:
        if (reason := next(steps)) is not None:
            raise reason

    with pytest.raises(Stopped):
        scrub(store.database, store.contents, tempo=Tempo(between=stop))

    assert verdicts(store) == ["ok", "ok", None]


def test_what_is_let_go_while_others_are_read_is_neither_lost_nor_counted(store: Store):
    paths = [life.put(store, f"{n}.txt", PHOTO + bytes([n])) for n in range(2)]
    going = [paths[1]]

    def let_go() -> None:
        if going:
            life.delete_for_good(store, going.pop())
            assert life.run(store).deleted == 1

    done = scrub(store.database, store.contents, tempo=Tempo(between=let_go))

    assert (done.verified, done.lost, done.corrupt) == (1, (), ())
    assert verdicts(store) == ["ok"]


def test_a_verdict_waits_for_the_writers_of_its_bucket(store: Store):
    life.put(store)
    bucket = life.bucket(store).id
    scrubbed = threading.Thread(target=store.scrub)

    with store.database.write(bucket) as tx:
        scrubbed.start()
        scrubbed.join(0.5)
        assert scrubbed.is_alive()
        tx.execute(update(objects).values(key="files/moved"))
    scrubbed.join()

    assert verdicts(store) == [None]
    life.change(store, objects, key=life.blobs(store)[0])


def test_an_upload_whose_object_is_judged_while_it_commits_brings_its_bytes(store: Store):
    """Whoever judges keeps no order, as an older program did."""
    old = life.put(store)
    engine, judged = store.database.engine, []
    if engine.dialect.name == "sqlite":
        return

    def judge(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if statement.startswith("UPDATE objects SET state=") and not judged:
            judged.append(statement)
            with engine.connect() as another:
                another.execute(text("UPDATE objects SET verdict = 'lost'"))
                another.commit()
            blob(store).unlink()

    event.listen(engine, "before_cursor_execute", judge)

    new = life.put(store, "again.txt")

    event.remove(engine, "before_cursor_execute", judge)
    assert (len(judged), verdicts(store)) == (1, [None])
    assert [stores.content(life.as_ann(store), path) for path in (old, new)] == [PHOTO, PHOTO]
