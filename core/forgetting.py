"""What lies in the trash is gone for good: at once, or where it is large batch by batch.

A large subtree is first taken out of sight, whole: from then on nobody can restore it, and so nobody restores a part.
Each batch is one transaction, after which the invariants hold and the bucket counts what is left. What a crash leaves
goes with the next that is emptied, or with the collector.
"""

from . import buckets, subtrees, trash
from .database import Database, Transaction
from .model import Bucket, BucketId, NodeId
from .tempo import FLAT_OUT, Tempo

RATE = 5000
"""Nodes for each second that a batch may take."""
FEWEST = 20


def begin(tx: Transaction, bucket: Bucket, top: NodeId, tempo: Tempo = FLAT_OUT) -> bool:
    """The subtree, to which no name leads, is gone. True: it is large, out of sight, and `finish` goes on with it."""
    if subtrees.holds_more(tx, top, _limit(tempo)):
        trash.end(tx, bucket, top)
        return True
    files, size = subtrees.drop(tx, top)
    buckets.advance(tx, bucket, -files, -size)
    return False


def finish(database: Database, tempo: Tempo = FLAT_OUT) -> None:
    """All that was begun is gone, whoever began it."""
    with database.read() as tx:
        begun = trash.ending(tx)
    for home, top in begun:
        while _go_on(database, home, top, _limit(tempo)):
            tempo.between()


def _go_on(database: Database, home: BucketId, top: NodeId, limit: int) -> bool:
    """A batch less is there. False where nothing is left."""
    with database.write(home) as tx:
        if (home, top) not in trash.ending(tx):
            return False
        is_more = subtrees.holds_more(tx, top, limit)
        files, size = subtrees.drop_some(tx, top, limit) if is_more else subtrees.drop(tx, top)
        buckets.advance(tx, buckets.by_id(tx, home), -files, -size)
        return is_more


def _limit(tempo: Tempo) -> int:
    return max(FEWEST, int(RATE * tempo.longest))
