"""Many ids in one parameter: a statement has one shape, and costs little to make, however many rows it is about."""

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Column, ColumnElement, Text, any_, cast, func, literal, select

from .database import Transaction


def among(tx: Transaction, column: Column[Any], ids: Collection[int]) -> ColumnElement[bool]:
    """Whether the column holds one of the ids."""
    if tx.dialect == "sqlite":
        each = func.json_each(json.dumps(list(ids))).table_valued("value")
        return column.in_(select(each.c.value))
    return column == any_(cast(literal(f"{{{','.join(map(str, ids))}}}", Text), ARRAY(BigInteger)))
