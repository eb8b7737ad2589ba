"""The functions that a host application has."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from urllib.request import urlopen

import pytest
from sqlalchemy import update

from core import open as core_open
from core.errors import InvalidSetting, NotFound, TooLarge, UnsupportedMediaType
from core.model import SECOND
from core.policy import BucketPolicy
from core.schema import holds, objects
from core.settings import Settings
from core.storage_settings import S3Storage
from core.store import Store
from tests.parts import stores

PHOTO = b"the bytes of a photo, too many for a row"
OPEN = BucketPolicy(inline_below=16)
STRICT = BucketPolicy(inline_below=16, max_size=1000, types=("image/*",))
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
HOUR = 3600 * SECOND


@pytest.fixture
def store(database_url: str, tmp_path: Path) -> Iterator[Store]:
    opened = core_open(stores.settings(database_url, tmp_path / "data", media=OPEN, strict=STRICT))
    yield opened
    assert opened.verify(deep=True).problems == ()
    opened.close()


def in_an_hour(store: Store) -> None:
    """Every hold has ended, just now."""
    with store.database.write() as tx:
        tx.execute(update(holds).where(holds.c.until <= tx.now + HOUR).values(until=tx.now))
        tx.execute(update(objects).values(touched=tx.now))


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=30)


@pytest.mark.parametrize("data", [PHOTO, b"", b"short"])
@pytest.mark.parametrize("form", [bytes, BytesIO])
def test_what_is_put_can_be_read(store: Store, data: bytes, form: Callable[[bytes], bytes | BytesIO]):
    source = form(data)

    put = store.objects.put_object("media", source, "image/png", {"owner": "ann"})

    assert store.objects.get_object(put.uid) == put
    assert (put.size, put.media_type, put.metadata["owner"], put.expires) == (len(data), "image/png", "ann", None)
    assert store.objects.get_object_bytes(put.uid) == data
    with store.objects.get_object_data(put.uid) as reader:
        reader.seek(2)
        assert reader.read() == data[2:]


def test_equal_bytes_are_one_object_with_the_first_ones_metadata(store: Store):
    first = store.objects.put_object("media", PHOTO, "image/png", {"owner": "ann"})
    second = store.objects.put_object("media", PHOTO, "image/jpeg", {"owner": "bob"})

    assert second == first


def test_bytes_that_a_file_has_already_are_the_same_object(store: Store):
    stores.put(store.namespace(stores.ANN), ("media", "a.png"), PHOTO)

    put = store.objects.put_object("media", PHOTO, "image/png")

    assert store.usage()[1].objects == 1
    assert put.media_type == "image/png"


def test_what_nothing_refers_to_is_held_for_an_hour_and_goes(store: Store):
    put = store.objects.put_object("media", PHOTO, "image/png")

    assert store.collect_garbage(grace=0, retention=0).condemned == 0
    in_an_hour(store)
    assert store.collect_garbage(grace=0, retention=0).purged == 1
    assert store.objects.get_object(put.uid) is None


def test_a_temporary_object_is_readable_until_it_expires_and_not_after(store: Store):
    put = store.objects.put_object("media", PHOTO, "image/png", expires=soon())

    assert put.expires is not None
    assert store.objects.get_object_bytes(put.uid) == PHOTO
    in_an_hour(store)
    assert store.objects.get_object(put.uid) is None
    with pytest.raises(NotFound, match="or its time is over"):
        store.objects.get_object_bytes(put.uid)
    assert store.collect_garbage(grace=0, retention=0).purged == 1


def test_a_temporary_object_that_a_file_has_too_stays_readable(store: Store):
    put = store.objects.put_object("media", PHOTO, "image/png", expires=soon())
    stores.put(store.namespace(stores.ANN), ("media", "a.png"), PHOTO)

    in_an_hour(store)

    assert store.objects.get_object_bytes(put.uid) == PHOTO
    assert store.collect_garbage(grace=0, retention=0).condemned == 0


def test_a_time_without_a_zone_is_refused(store: Store):
    with pytest.raises(InvalidSetting, match="has no time zone"):
        store.objects.put_object("media", PHOTO, "image/png", expires=datetime(2030, 1, 1))  # noqa: DTZ001


def test_what_the_bucket_does_not_take_is_refused_and_leaves_nothing(store: Store, tmp_path: Path):
    store.objects.put_object("strict", PNG, "image/png")
    with pytest.raises(TooLarge):
        store.objects.put_object("strict", b"x" * 1001, "image/png")
    for data, media_type in ((PHOTO, "text/html"), (PHOTO, "image/png"), (b"%PDF-1.7 " * 9, "image/svg+xml")):
        with pytest.raises(UnsupportedMediaType):
            store.objects.put_object("strict", data, media_type)
    with pytest.raises(NotFound):
        store.objects.put_object("nowhere", PHOTO, "image/png")

    assert sum(usage.objects for usage in store.usage()) == 1
    assert not list(tmp_path.rglob("draft.*"))


def test_a_deleted_object_goes_at_the_next_collection_and_a_shared_one_does_not(store: Store):
    alone = store.objects.put_object("media", PHOTO, "image/png")
    shared = store.objects.put_object("media", PHOTO[1:], "image/png")
    stores.put(store.namespace(stores.ANN), ("media", "a.png"), PHOTO[1:])

    assert store.objects.del_object(alone.uid)
    assert store.objects.del_object(shared.uid)

    assert store.collect_garbage(grace=0, retention=0).purged == 1
    assert store.objects.get_object(alone.uid) is None
    assert store.objects.get_object_bytes(shared.uid) == PHOTO[1:]


@pytest.mark.parametrize("uid", ["", "nonsense", "01890a5d-ac96-774b-bcce-b302099a8057"])
def test_an_object_that_is_not_there_is_none_false_or_not_found(store: Store, uid: str):
    assert store.objects.get_object(uid) is None
    assert not store.objects.touch_object(uid)
    assert not store.objects.del_object(uid)
    for ask in (store.objects.get_object_data, store.objects.get_object_url, store.objects.get_object_path):
        with pytest.raises(NotFound):
            ask(uid)


def test_the_path_is_that_of_a_file_with_the_bytes_and_none_for_what_is_no_file(store: Store):
    large = store.objects.put_object("media", PHOTO, "image/png")
    inline = store.objects.put_object("media", b"short", "image/png")

    path = store.objects.get_object_path(large.uid)

    assert path is not None
    assert path.read_bytes() == PHOTO
    assert store.objects.get_object_path(inline.uid) is None


def test_the_url_of_an_object_on_s3_is_signed_and_gives_the_bytes(tmp_path: Path, s3_storage: S3Storage):
    settings = Settings.model_validate(
        {
            "data": tmp_path / "data",
            "storages": {"s3main": s3_storage},
            "buckets": {"photos": {"storage": "s3main", "inline_below": 16}},
        }
    )
    store = core_open(settings)
    put = store.objects.put_object("photos", PHOTO, "image/png")

    with urlopen(store.objects.get_object_url(put.uid, timedelta(minutes=5))) as found:
        assert (found.read(), found.headers["Content-Type"]) == (PHOTO, "image/png")
    store.close()
