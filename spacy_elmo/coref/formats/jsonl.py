"""Reading and writing JSON lines in the format of e2e-coref and its successors.

Clusters are not changed when they are read. They may share mentions.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from ...files.paths import PathLike
from ..clusters import Clusters, Mention
from .coref_document import CorefDocument
from .dropped import Dropped
from .lines import numbered_lines

# valid in JSON, but not in UTF-8
SURROGATES = re.compile("[\ud800-\udfff]")
EXPECTED = (
    'Expected {"doc_key": "name", "sentences": [["some", "words"]], "clusters": [[[0, 1]]]}, '
    "with the first and the last word of each mention"
)


def read_jsonl(path: PathLike, dropped: Dropped | None = None) -> Iterator[CorefDocument]:
    """Read a file.

    path (Union[str, Path]): The file, with one JSON object per line. Required keys are "sentences"
        (lists of words) or "tokens" (one list of words), and "clusters" (for each entity, the
        indices of the first and last word of its mentions in the document). Optional keys are
        "sentence_starts" (with "tokens": indices of the first words of sentences), "doc_key",
        "genre", "speakers" (a name for each word, nested like the words), and "document" and
        "part", which "doc_key" combines.
    dropped (Optional[Dropped]): Its `skip_errors` determines whether documents that cannot be read
        are left out.
    YIELDS (CorefDocument): Each document.
    RAISES (ValueError): If a document cannot be read and is not left out.
    """
    dropped = Dropped() if dropped is None else dropped
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        try:
            document = _read_line(line, f"{path}, line {number}")
        except ValueError as error:
            dropped.refuse(error)
        else:
            yield document


def _read_line(line: str, place: str) -> CorefDocument:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{place}: this is not JSON ({error}). Each line must hold one JSON object."
        ) from error
    return _read_record(record, place)


def _read_record(record: Any, place: str) -> CorefDocument:
    if not isinstance(record, dict):
        raise ValueError(f"{place} holds a {type(record).__name__}. {EXPECTED}.")
    if "subtoken_map" in record:
        raise ValueError(
            f"{place} has 'subtoken_map': its sentences contain word pieces. Convert the original "
            f"file, which contains words."
        )
    key = "sentences" if "sentences" in record else "tokens"
    missing = [name for name in (key, "clusters") if name not in record]
    if missing:
        found = ", ".join(map(repr, record)) or "no keys"
        raise ValueError(f"{place} has {found}, but no {missing[0]!r}. {EXPECTED}.")
    words = _flatten(record[key], key, place)
    if not all(words):
        raise ValueError(f"{place} has an empty word under {key!r}. {EXPECTED}.")
    speakers = None
    if record.get("speakers"):
        speakers = _flatten(record["speakers"], "speakers", place)
        if len(speakers) != len(words):
            raise ValueError(
                f"{place} has {len(speakers)} speakers of {len(words)} words. Expected a name "
                f"for each word under 'speakers', such as '-' for no speaker."
            )
    return CorefDocument(
        words=words,
        clusters=_read_clusters(record["clusters"], len(words), place),
        sent_starts=_sent_starts(record, key, len(words), place),
        speakers=speakers,
        name=_text(record, "document" if "document" in record else "doc_key", place),
        part=None if record.get("part") is None else _text(record, "part", place),
        genre=_text(record, "genre", place),
    )


def _text(record: dict[str, Any], key: str, place: str) -> str:
    value = record.get(key)
    if value is None:
        return ""
    if not isinstance(value, (str, int, float)):
        raise ValueError(f"{place} has a {type(value).__name__} under {key!r}. Expected a string.")
    return SURROGATES.sub("\ufffd", str(value))


def _flatten(value: Any, key: str, place: str) -> list[str]:
    flat = isinstance(value, list) and all(isinstance(word, str) for word in value)
    if key == "tokens" or (key == "speakers" and flat):
        value = [value]
    if isinstance(value, list) and all(isinstance(words, list) for words in value):
        found = [word for words in value for word in words]
        if all(isinstance(word, str) for word in found):
            return [SURROGATES.sub("\ufffd", word) for word in found]
    raise ValueError(f"{place} has something other than lists of words under {key!r}. {EXPECTED}.")


def _sent_starts(record: dict[str, Any], key: str, n_words: int, place: str) -> list[bool] | None:
    if key == "sentences":
        return [i == 0 for words in record[key] for i in range(len(words))]
    numbers = record.get("sentence_starts")
    if numbers is None:
        return None
    if not isinstance(numbers, list) or not all(
        type(number) is int and 0 <= number < n_words for number in numbers
    ):
        raise ValueError(
            f"{place}: 'sentence_starts' is {json.dumps(numbers)[:60]}. Expected the indices of "
            f"the first words of sentences, 0 to {n_words - 1}."
        )
    starts = {0, *numbers}
    return [i in starts for i in range(n_words)]


def _read_clusters(value: Any, n_words: int, place: str) -> Clusters:
    if not isinstance(value, list) or not all(isinstance(cluster, list) for cluster in value):
        raise ValueError(f"{place} has something other than lists under 'clusters'. {EXPECTED}.")
    return [[_read_mention(mention, n_words, place) for mention in cluster] for cluster in value]


def _read_mention(value: Any, n_words: int, place: str) -> Mention:
    if (
        isinstance(value, list)
        and len(value) == 2
        and all(type(number) is int for number in value)  # excludes bool
        and 0 <= value[0] <= value[1] < n_words
    ):
        return value[0], value[1] + 1
    raise ValueError(
        f"{place} has {json.dumps(value)[:60]} as a mention. Expected [first, last], the indices "
        f"of two of the {n_words} words."
    )


def write_jsonl(documents: Iterable[CorefDocument], file: TextIO) -> None:
    """Write documents, one per line; see `read_jsonl`.

    documents (Iterable[CorefDocument]): The documents. The "doc_key" of a numbered part combines
        the name of the document and the number, as in "name_0".
    file (TextIO): The open file.
    """
    for document in documents:
        file.write(json.dumps(make_record(document), ensure_ascii=False) + "\n")


def make_record(document: CorefDocument) -> dict[str, Any]:
    """RETURNS (Dict[str, Any]): The JSON object of a document."""
    part = document.part or ""
    clusters: Clusters = document.clusters
    record: dict[str, Any] = {
        "doc_key": "_".join(filter(None, (document.name, part.lstrip("0") or part[:1]))),
        "clusters": [[[start, end - 1] for start, end in cluster] for cluster in clusters],
    }
    if document.sent_starts is None:
        record["tokens"] = document.words
    else:
        record["sentences"] = [[document.words[i] for i in s] for s in document.sentences()]
    if document.part is not None:
        record.update(document=document.name, part=document.part)
    if document.speakers:
        speakers = document.speakers
        record["speakers"] = [[speakers[i] or "-" for i in sent] for sent in document.sentences()]
    if document.genre:
        record["genre"] = document.genre
    return record
