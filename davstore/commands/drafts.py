"""`davstore drafts`: what was written to a mount, is safe, and is not yet the content of its file."""

from typing import TYPE_CHECKING, Annotated

import typer

from . import output
from .installation import Config, Data, Json, opened

if TYPE_CHECKING:
    from core.leftovers import KeptDraft

Retry = Annotated[bool, typer.Option("--retry", help="Publish those first whose mount is gone.")]


def drafts(retry: Retry = False, json: Json = False, data: Data = None, config: Config = None) -> None:
    """List contents that a mount could not store yet; they are kept, and tried again by every mount unless the bucket
    does not take what they are."""
    from core.model import OPERATOR

    with opened(data, config) as store:
        if retry:
            store.leftovers.publish(store.inodes(OPERATOR), final=True)
        kept = store.leftovers.listed()
    if json:
        output.as_json([_described(draft) for draft in kept])
    else:
        columns = ("WRITTEN", "BY", "SIZE", "PATH", "PROBLEM")
        output.as_table(columns, map(_row, kept), none="There are no unpublished drafts.")


def _described(draft: "KeptDraft") -> dict[str, object]:
    from core import paths

    return {
        "path": draft.path and paths.text(draft.path),
        "size": draft.size,
        "created": output.time(draft.created),
        "by": draft.principal,
        "file": str(draft.file),
        "error": draft.error,
        "is_final": draft.is_final,
    }


def _row(draft: "KeptDraft") -> tuple[str | None, ...]:
    from core import paths

    path = paths.text(draft.path) if draft.path else f"(removed) {draft.file}"
    return output.time(draft.created), draft.principal, output.size(draft.size), path, draft.error or ""
