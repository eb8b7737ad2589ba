"""All that a user could tell apart in a store: what a refusal must leave as it was (I5)."""

from core.model import Caller, Path
from core.store import Store
from tests.parts import stores

Snapshot = dict[str, object]


def snapshot(store: Store) -> Snapshot:
    namespace, recovery = store.namespace(Caller()), store.recovery(Caller())
    nodes = [
        node
        for bucket in store.buckets()
        for node in (namespace.node((bucket.name,)), *stores.below(namespace, (bucket.name,)))
    ]
    properties = namespace.properties(nodes)
    tree: dict[Path, object] = {
        node.path: (
            *(node.uid, node.kind, node.size, node.media_type, node.modified, node.created, node.seq, node.mode),
            None if node.is_collection else stores.content(namespace, node.path),
            properties.get(node.id, {}),
            [] if node.is_collection else recovery.versions(node.path),
        )
        for node in nodes
    }
    return {
        "tree": tree,
        "locks": {(lock.token, lock.root, lock.expires) for lock in store.locks()},
        "trash": recovery.trashed(),
        "buckets": store.buckets(),
    }
