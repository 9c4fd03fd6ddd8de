"""Trained vectors of what words look like, with one for all that training has not met.

`spacy.MultiHashEmbed` gives a word that it has never seen the sum of other words' vectors. In a
new book most names are such words, and it is the context that must tell what they are: here
they share a vector, which is learned where known words are taken for unknown ones now and then.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import srsly
from spacy.tokens import Doc
from thinc.api import Dropout, Model, uniform_init
from thinc.model import deserialize_attr, serialize_attr

from ..text.words import word_tokens
from .layer_batch import Floats2d, split_rows
from .node_digest import DIGEST, DigestShim, NodeDigest
from .token_reader import READ_TOKENS, TokenReader

UNKNOWN = 0
# uniform vectors with a standard deviation of 0.3
INITIAL_RANGE = 0.5


class KnownValues:
    """Values of an attribute, in the order in which they were met, and the row of each in a
    table.

    n_rows (int): Rows of the table, that of unknown values, 0, included.
    known (Iterable[int]): The values of rows 1, 2, ...
    """

    def __init__(self, n_rows: int, known: Iterable[int] = ()) -> None:
        self.n_rows = n_rows
        self.rows: dict[int, int] = {value: row for row, value in enumerate(known, start=1)}

    def look_up(self, values: np.ndarray, learn: bool) -> np.ndarray:
        """RETURNS (ndarray): The row of each value, int64 [n].

        values (ndarray): uint64 [n].
        learn (bool): Whether values that were never met get a row, if there is one left.
        """
        distinct, firsts, places = np.unique(values, return_index=True, return_inverse=True)
        order = firsts.argsort()
        found = np.empty(len(distinct), dtype=np.int64)
        found[order] = [self._row(value, learn) for value in distinct[order].tolist()]
        rows: np.ndarray = found[places.reshape(-1)]
        return rows

    def _row(self, value: int, learn: bool) -> int:
        row = self.rows.get(value, UNKNOWN)
        if row == UNKNOWN and learn and len(self.rows) + 1 < self.n_rows:
            row = self.rows[value] = len(self.rows) + 1
        return row


class KnownByAttribute(list[KnownValues]):
    """Those of each attribute; a type by itself, for thinc to serialize."""


@serialize_attr.register(KnownByAttribute)
def _to_bytes(attr: KnownByAttribute, value: KnownByAttribute, name: str, model: Model) -> bytes:
    data: bytes = srsly.msgpack_dumps([[one.n_rows, *one.rows] for one in value])
    return data


@deserialize_attr.register(KnownByAttribute)
def _from_bytes(attr: KnownByAttribute, value: bytes, name: str, model: Model) -> KnownByAttribute:
    try:
        found = KnownByAttribute(
            KnownValues(n_rows, known) for n_rows, *known in srsly.msgpack_loads(value)
        )
        _check_known(found, attr)
    except Exception as error:  # srsly has several kinds
        raise ValueError(
            f"What was saved of the word features is damaged, or is not of the settings in the "
            f"config: {error}. Leave the settings as they were saved, save the pipeline again, or "
            f"restore a backup."
        ) from error
    return found


def _check_known(found: KnownByAttribute, expected: KnownByAttribute) -> None:
    n_rows, n_expected = ([one.n_rows for one in values] for values in (found, expected))
    if n_rows != n_expected:
        raise ValueError(f"tables have {n_rows} rows, expected {n_expected}")
    for one in found:
        if len(one.rows) >= one.n_rows or list(one.rows.values()) != [*range(1, len(one.rows) + 1)]:
            raise ValueError("a value occurs twice, or there are more values than rows")
        if not all(type(value) is int and 0 <= value < 2**64 for value in one.rows):
            raise ValueError("a known value is not a hash of 64 bits")


def build_word_features_v1(
    attrs: list[str], widths: list[int], rows: list[int], unknown: float = 0.1
) -> Model[list[Doc], list[Floats2d]]:
    """`spacy-elmo.WordFeatures.v1`: attributes of words, each with a table of its own, side by
    side. Training gives each value that it meets a row, as long as there are any; all others
    are unknown and share one. Whitespace tokens have zeros.

    attrs (List[str]): Attributes of tokens, e.g. NORM, PREFIX, SUFFIX, SHAPE.
    widths (List[int]): Of the vectors of each.
    rows (List[int]): How many values of each are told apart.
    unknown (float): How often training takes a known value for an unknown one, 0 to 1.
    CREATES (Model[List[Doc], List[Floats2d]]): The model; its width is the sum of the widths.
    """
    if not attrs or not len(attrs) == len(widths) == len(rows):
        raise ValueError(
            f"There are {len(attrs)} attrs, {len(widths)} widths and {len(rows)} rows; give each "
            f"attribute one of both."
        )
    return Model(
        "word_features",
        forward,
        init=init,
        layers=[Dropout()],
        params=dict.fromkeys(_param(n) for n in range(len(attrs))),
        dims={"nO": sum(widths)},
        attrs={
            "attrs": attrs,
            "widths": widths,
            "unknown": unknown,
            "known": KnownByAttribute(KnownValues(n + 1) for n in rows),
            READ_TOKENS: read_tokens,
            DIGEST: NodeDigest(),
        },
        shims=[DigestShim("word features")],
    )


def _param(n: int) -> str:
    return f"E{n}"


def init(model: Model, X: Any = None, Y: Any = None) -> None:
    for n, (width, known) in enumerate(zip(model.attrs["widths"], model.attrs["known"])):
        # words of a former training would be known, by vectors that nothing has trained
        known.rows.clear()
        shape = (known.n_rows, width)
        model.set_param(
            _param(n), uniform_init(model.ops, shape, lo=-INITIAL_RANGE, hi=INITIAL_RANGE)
        )


def forward(
    model: Model, docs: list[Doc], is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], list[Doc]]]:
    if not docs:
        return [], lambda d_parts: []
    lengths = [len(doc) for doc in docs]
    words = [word_tokens(doc) for doc in docs]
    rows = np.concatenate([ours + n for ours, n in zip(words, np.cumsum([0, *lengths]))])
    ids = _ids(model, docs, words, is_train)
    kept, backprop_dropout = model.layers[0](_vectors(model, ids), is_train)

    def backprop(d_parts: list[Floats2d]) -> list[Doc]:
        d_tokens = model.ops.xp.concatenate(d_parts)
        d_vectors = backprop_dropout(d_tokens if len(rows) == len(d_tokens) else d_tokens[rows])
        widths = model.attrs["widths"]
        for n, (end, width) in enumerate(zip(np.cumsum(widths), widths)):
            d_table = model.ops.alloc2f(*model.get_param(_param(n)).shape)
            d_column = model.ops.as_contig(d_vectors[:, end - width : end])
            model.ops.scatter_add(d_table, ids[n], d_column)
            model.inc_grad(_param(n), d_table)
        return []

    return split_rows(_to_tokens(model, kept, rows, sum(lengths)), lengths), backprop


def read_tokens(model: Model, doc: Doc) -> TokenReader:
    words = word_tokens(doc)
    ids = _ids(model, [doc], [words], is_train=False)

    def read(start: int, end: int) -> Floats2d:
        first, after = np.searchsorted(words, (start, end))
        vectors = _vectors(model, [rows[first:after] for rows in ids])
        return _to_tokens(model, vectors, words[first:after] - start, end - start)

    return read


def _to_tokens(model: Model, vectors: Floats2d, rows: np.ndarray, n_tokens: int) -> Floats2d:
    """Vectors of words to vectors of tokens: zeros where a token is whitespace.

    vectors (Floats2d): [n_words, D].
    rows (ndarray): Place of each word among the tokens, int64 [n_words].
    n_tokens (int): All tokens.
    RETURNS (Floats2d): [n_tokens, D].
    """
    if len(rows) == n_tokens:
        return vectors
    tokens: Floats2d = model.ops.alloc2f(n_tokens, vectors.shape[1])
    tokens[rows] = vectors
    return tokens


def _ids(model: Model, docs: list[Doc], words: list[np.ndarray], is_train: bool) -> list[Any]:
    """RETURNS (List[Ints1d]): Of each attribute the row of each word, Doc after Doc."""
    attrs = model.attrs["attrs"]
    # a column for each attribute, also where there is one alone
    values = np.concatenate(
        [doc.to_array(attrs).reshape(-1, len(attrs))[ours] for doc, ours in zip(docs, words)]
    )
    ids: list[Any] = []
    for n, known in enumerate(model.attrs["known"]):
        found = known.look_up(values[:, n], learn=is_train)
        if is_train:
            found[np.random.random(len(found)) < model.attrs["unknown"]] = UNKNOWN
        ids.append(model.ops.asarray1i(found))
    return ids


def _vectors(model: Model, ids: list[Any]) -> Floats2d:
    columns = [model.get_param(_param(n))[rows] for n, rows in enumerate(ids)]
    return model.ops.xp.concatenate(columns, axis=1)
