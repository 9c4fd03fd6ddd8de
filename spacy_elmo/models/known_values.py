"""The attribute values that have rows in the tables of `word_features`, and their serialization."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import srsly
from thinc.api import Model
from thinc.model import deserialize_attr, serialize_attr

UNKNOWN = 0


class KnownValues:
    """The table row of each known value of an attribute. Row 0 is the row of unknown values.

    n_rows (int): Number of rows of the table, row 0 included.
    known (Iterable[int]): The values of rows 1, 2, ...
    """

    def __init__(self, n_rows: int, known: Iterable[int] = ()) -> None:
        self.n_rows = n_rows
        self.rows: dict[int, int] = {value: row for row, value in enumerate(known, start=1)}

    def look_up(self, values: np.ndarray, learn: bool) -> np.ndarray:
        """Return the row of each value.

        values (ndarray): uint64 [n].
        learn (bool): Whether to give each unknown value the next free row, if there is one.
        RETURNS (ndarray): int64 [n].
        """
        distinct, firsts, inverse = np.unique(values, return_index=True, return_inverse=True)
        order = firsts.argsort()
        found = np.empty(len(distinct), dtype=np.int64)
        found[order] = [self._row(value, learn) for value in distinct[order].tolist()]
        rows: np.ndarray = found[inverse.reshape(-1)]
        return rows

    def _row(self, value: int, learn: bool) -> int:
        row = self.rows.get(value, UNKNOWN)
        if row == UNKNOWN and learn and len(self.rows) + 1 < self.n_rows:
            row = self.rows[value] = len(self.rows) + 1
        return row


class KnownByAttribute(list[KnownValues]):
    """The known values of each attribute. This type selects the functions below, with which thinc
    serializes the attribute of the layer."""


@serialize_attr.register(KnownByAttribute)
def _to_bytes(
    attr: KnownByAttribute, value: KnownByAttribute, name: str, model: Model[Any, Any]
) -> bytes:
    data: bytes = srsly.msgpack_dumps([[known.n_rows, *known.rows] for known in value])
    return data


@deserialize_attr.register(KnownByAttribute)
def _from_bytes(
    attr: KnownByAttribute, value: bytes, name: str, model: Model[Any, Any]
) -> KnownByAttribute:
    try:
        found = KnownByAttribute(
            KnownValues(n_rows, known) for n_rows, *known in srsly.msgpack_loads(value)
        )
        _check(found, attr)
    except Exception as error:  # srsly raises errors of several types
        raise ValueError(
            f"The saved state of the word features is damaged, or does not fit the settings in the "
            f"config: {error}. Use the settings that the pipeline was saved with, save the "
            f"pipeline again, or restore a backup."
        ) from error
    return found


def _check(found: KnownByAttribute, expected: KnownByAttribute) -> None:
    n_found = [known.n_rows for known in found]
    n_expected = [known.n_rows for known in expected]
    if n_found != n_expected:
        raise ValueError(f"tables have {n_found} rows, expected {n_expected}")
    for known in found:
        n_values = len(known.rows)
        if n_values >= known.n_rows or [*known.rows.values()] != [*range(1, n_values + 1)]:
            raise ValueError("a value occurs twice, or there are more values than rows")
        if not all(type(value) is int and 0 <= value < 2**64 for value in known.rows):
            raise ValueError("a known value is not a 64-bit hash")
