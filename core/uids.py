"""UUIDv7: public names of rows that sort by the time they were made (RFC 9562, section 5.7)."""

from uuid import UUID

from uuid_utils import uuid7


def fresh() -> str:
    return str(uuid7())


def is_uid(text: str) -> bool:
    """Whether the text can be asked of a uid column; PostgreSQL refuses others."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
