"""The media collector: what no document mentions goes to the trash, and nothing that one does."""

from datetime import timedelta

import pytest

from core.attachments import Attachment
from core.contents import Contents
from core.errors import StorageUnavailable
from core.garbage import Run
from core.model import LockRequest, Rules
from core.namespace import Namespace
from core.policy import BucketPolicy
from core.store import Store
from tests.media.conftest import OpenStore
from tests.parts import stores

DOCUMENTS = ("*.html", "*.md", "*.svg", "*.json")
NOW = timedelta(0)


@pytest.fixture
def docs(open_store: OpenStore) -> Store:
    return open_store(docs=BucketPolicy(documents=DOCUMENTS, media_grace=NOW), off=BucketPolicy(media_grace=NOW))


def put(store: Store, *path: str, data: str = "bytes") -> None:
    stores.put(as_ann(store), path, data.encode())


def as_ann(store: Store) -> Namespace:
    return store.namespace(stores.ANN)


def run(store: Store) -> Run:
    return store.collect_garbage(grace=0)


def files(store: Store, bucket: str = "docs") -> set[str]:
    below = stores.below(as_ann(store), (bucket,))
    return {"/".join(node.path[1:]) for node in below if not node.is_collection}


def test_media_that_no_document_mentions_go_to_the_trash_and_can_come_back(docs: Store):
    put(docs, "docs", "a.md", data="![](used.png)")
    for name in ("used.png", "spare.png", "spare.mp4", "notes.txt"):
        put(docs, "docs", name)

    done = run(docs)

    assert (done.media_trashed, done.refused) == (2, ())
    assert files(docs) == {"a.md", "used.png", "notes.txt"}
    trashed = docs.recovery(stores.ANN).trashed("docs")
    assert {entry.path[-1] for entry in trashed} == {"spare.png", "spare.mp4"}
    assert {entry.by for entry in trashed} == {"media collector"}


@pytest.mark.parametrize(
    ("document", "text", "name"),
    [
        ("a.html", '<img src="my%20photo%20(1).png">', "my photo (1).png"),
        ("a.html", '<img src="a &amp; b.png">', "a & b.png"),
        ("a.md", "![](<./images/my photo.png>)", "my photo.png"),
        ("a.json", '{"src": "gr\\u00fcn.png"}', "grün.png"),
        ("a.json", '{"src": "images\\/x.png"}', "x.png"),
        ("a.html", "<img src='gru\u0308n.png'>", "grün.png"),
        ("a.svg", "<image href='x.png'/>", "x.png"),
    ],
)
def test_a_name_is_found_as_documents_write_it(docs: Store, document: str, text: str, name: str):
    put(docs, "docs", document, data=text)
    put(docs, "docs", name)

    assert run(docs).media_trashed == 0


@pytest.mark.parametrize("which", ["uid", "object_uid"])
def test_an_id_in_any_url_anywhere_in_the_bucket_is_a_mention(docs: Store, which: str):
    as_ann(docs).make_collection(("docs", "one"))
    as_ann(docs).make_collection(("docs", "two"))
    put(docs, "docs", "one", "pic.png")
    put(docs, "docs", "one", "a.md", data="nothing")
    uid = getattr(as_ann(docs).node(("docs", "one", "pic.png")), which)
    put(docs, "docs", "two", "b.html", data=f'<img src="/assets/by-id/{uid.upper()}">')

    assert run(docs).media_trashed == 0


def test_another_collections_document_does_not_speak_for_a_name(docs: Store):
    for name in ("one", "two"):
        as_ann(docs).make_collection(("docs", name))
        put(docs, "docs", name, "pic.png", data=name)
    put(docs, "docs", "one", "a.md", data="![](pic.png)")
    put(docs, "docs", "two", "a.md", data="no picture")

    run(docs)

    assert files(docs) == {"one/a.md", "one/pic.png", "two/a.md"}


def test_media_below_a_document_are_its_own_and_those_without_documents_are_left_alone(docs: Store):
    for name in ("site", "album"):
        as_ann(docs).make_collection(("docs", name))
    as_ann(docs).make_collection(("docs", "site", "images"))
    put(docs, "docs", "site", "index.html", data='<img src="images/used.png">')
    for path in (("site", "images", "used.png"), ("site", "images", "spare.png"), ("album", "photo.png")):
        put(docs, "docs", *path)

    run(docs)

    assert files(docs) == {"site/index.html", "site/images/used.png", "album/photo.png"}


def test_media_stay_for_the_grace_and_it_begins_when_the_last_mention_went(open_store: OpenStore):
    store = open_store(docs=BucketPolicy(documents=DOCUMENTS, media_grace=timedelta(hours=1)))
    put(store, "docs", "a.md", data="![](pic.png)")
    put(store, "docs", "pic.png")
    assert run(store).media_trashed == 0

    put(store, "docs", "a.md", data="no more")
    assert run(store).media_trashed == 0
    store.change_bucket("docs", BucketPolicy(documents=DOCUMENTS, media_grace=NOW))

    assert run(store).media_trashed == 1


def test_a_mention_that_comes_back_begins_the_grace_anew(open_store: OpenStore):
    store = open_store(docs=BucketPolicy(documents=DOCUMENTS, media_grace=timedelta(hours=1)))
    put(store, "docs", "a.md", data="nothing")
    put(store, "docs", "pic.png")
    run(store)
    put(store, "docs", "a.md", data="pic.png")
    run(store)
    store.change_bucket("docs", BucketPolicy(documents=DOCUMENTS, media_grace=NOW))

    assert run(store).media_trashed == 0


def test_it_is_off_by_default(docs: Store):
    put(docs, "off", "a.md", data="nothing")
    put(docs, "off", "pic.png")

    assert run(docs).media_trashed == 0


def test_a_bucket_without_trash_is_left_alone_and_says_so(open_store: OpenStore):
    store = open_store(docs=BucketPolicy(documents=DOCUMENTS, media_grace=NOW, trash=None))
    put(store, "docs", "a.md", data="nothing")
    put(store, "docs", "pic.png")

    done = run(store)

    assert (done.media_trashed, done.refused) == (0, ("docs: keeps no trash, so its media are left alone",))


def test_where_a_document_cannot_be_read_nothing_goes(docs: Store, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise StorageUnavailable("local", "is away")

    put(docs, "docs", "a.md", data="nothing")
    put(docs, "docs", "pic.png")
    monkeypatch.setattr(Contents, "open_object", fail)

    done = run(docs)

    assert (done.media_trashed, done.refused) == (0, ("docs: local: is away",))


def test_a_document_that_is_too_large_to_be_read_mentions_all(docs: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("core.mentions.LARGEST", 10)
    put(docs, "docs", "a.md", data="nothing at all")
    put(docs, "docs", "pic.png")

    assert run(docs).media_trashed == 0


def test_a_locked_picture_stays(docs: Store):
    put(docs, "docs", "a.md", data="nothing")
    put(docs, "docs", "pic.png")
    as_ann(docs).lock(("docs", "pic.png"), LockRequest())

    assert run(docs).media_trashed == 0


def attach(store: Store, *home: str, name: str, id_: str | None = None) -> Attachment:
    attachments = store.attachments(stores.ANN)
    with as_ann(store).stage((*home, name)) as draft:
        draft.write(name.encode())
        return attachments.create(home, draft, name, "", id_)


@pytest.mark.parametrize("url", ["/file/attachments/my-photo/x.png", "\\/o\\/r\\/my-photo", "?id=my%2Dphoto"])
def test_an_id_that_its_maker_chose_is_a_mention_anywhere_in_the_bucket(docs: Store, url: str):
    for name in ("one", "two"):
        as_ann(docs).make_collection(("docs", name))
    put(docs, "docs", "one", "a.md", data="nothing")
    attach(docs, "docs", "one", name="kept.png", id_="my-photo")
    attach(docs, "docs", "one", name="spare.png", id_="not-said")
    put(docs, "docs", "two", "b.html", data=f'<img src="{url}">')

    run(docs)

    assert files(docs) == {"one/a.md", "one/kept.png", "two/b.html"}


def test_attachments_that_no_document_has_are_no_documents_affair(docs: Store):
    put(docs, "docs", "index.md", data="nothing")
    attach(docs, "docs", "attachments", "ann", name="loose.png")

    assert run(docs).media_trashed == 0


def test_a_document_among_them_and_in_a_library_mentions_as_any_other(docs: Store):
    as_ann(docs).make_collection(("docs", "one"))
    as_ann(docs).make_collection(("docs", "shared"))
    as_ann(docs).set_properties(("docs", "shared"), (), rules=Rules(is_local=False))
    put(docs, "docs", "one", "a.md", data="nothing")
    for name in ("first.png", "second.png"):
        put(docs, "docs", "one", name)
    first, second = (as_ann(docs).node(("docs", "one", name)).uid for name in ("first.png", "second.png"))
    put(docs, "docs", "shared", "b.md", data=first)
    put(docs, "docs", "shared", "theirs.png")
    home = ("docs", "attachments", "ann")
    attach(docs, *home, name="made.png")
    put(docs, *home, "c.md", data=second)

    assert run(docs).media_trashed == 0


def test_a_document_that_is_too_large_to_be_read_mentions_what_lies_elsewhere_too(
    docs: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("core.mentions.LARGEST", 10)
    for name in ("one", "two"):
        as_ann(docs).make_collection(("docs", name))
    put(docs, "docs", "one", "a.md", data="nothing")
    put(docs, "docs", "one", "pic.png")
    put(docs, "docs", "two", "b.md", data="nothing at all")

    assert run(docs).media_trashed == 0
