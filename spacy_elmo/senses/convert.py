"""Converting JSON lines with annotated senses to Docs."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span

from ..files.atomic import atomic_file
from ..files.decoding import decode_text
from ..files.output_file import check_output
from ..files.paths import PathLike
from ..files.streams import open_bytes
from .labels import SPANS_KEY, word_of

EXPECTED = (
    'Expected {"text": "a text", "spans": [{"start": 2, "end": 6, "label": "text%writing"}]}, with '
    "the offsets of characters in the text"
)


@dataclass
class Counts:
    """What was converted.

    documents, spans, senses (int): Number of documents, of spans, and of different labels.
    misaligned (int): Number of spans that were left out, because they do not begin and end with a
        token.
    """

    documents: int = 0
    spans: int = 0
    senses: int = 0
    misaligned: int = 0


def convert_senses(
    inputs: list[Path],
    output: PathLike,
    *,
    lang: str = "en",
    spans_key: str = SPANS_KEY,
    force: bool = False,
) -> Counts:
    """Convert JSON lines to a file of Docs with senses in `doc.spans`.

    inputs (List[Path]): Files in JSON lines, which may be compressed.
    output (Union[str, Path]): The .spacy file to write.
    lang (str): Language of the texts, for the tokenizer.
    spans_key (str): Key of the senses in `doc.spans`.
    force (bool): Whether to replace an existing output.
    RETURNS (Counts): What was converted.
    RAISES (ValueError): If the output exists or has another suffix, or if an input cannot be read.
    """
    output = check_output(output, [".spacy"], force)
    nlp, counts, docs = spacy.blank(lang), Counts(), DocBin()
    labels: set[str] = set()
    for path in inputs:
        for doc in read_senses(path, nlp, spans_key, counts):
            docs.add(doc)
            labels.update(span.label_ for span in doc.spans[spans_key])
            counts.documents += 1
            counts.spans += len(doc.spans[spans_key])
    counts.senses = len(labels)
    with atomic_file(output) as temporary:
        docs.to_disk(temporary)
    return counts


def read_senses(path: Path, nlp: Language, spans_key: str, counts: Counts) -> Iterator[Doc]:
    """Read a file in JSON lines.

    path (Path): The file. Each line has a "text" and "spans", whose "start" and "end" are offsets
        of characters.
    nlp (Language): The pipeline whose tokenizer is used.
    spans_key (str): Key of the senses in `doc.spans`.
    counts (Counts): Its number of misaligned spans is increased.
    YIELDS (Doc): The Doc of each line.
    RAISES (ValueError): If a line has another form.
    """
    offset = 0
    with open_bytes(path) as file:
        for number, data in enumerate(file, start=1):
            line = decode_text(data, path, offset)
            offset += len(data)
            if line.strip():
                yield _read_line(line, f"{path}, line {number}", nlp, spans_key, counts)


def _read_line(line: str, place: str, nlp: Language, spans_key: str, counts: Counts) -> Doc:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{place} is not JSON: {error}. {EXPECTED}.") from error
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        raise ValueError(f"{place} has no 'text'. {EXPECTED}.")
    # the tokenizer has no limit on the length of the text, unlike nlp.make_doc
    doc = nlp.tokenizer(record["text"])
    given = record.get("spans")
    if not isinstance(given, list):
        raise ValueError(f"{place} has no list of 'spans'. {EXPECTED}.")
    spans: list[Span] = []
    for item in given:
        start, end, label = _read_span(item, place, len(record["text"]))
        span = doc.char_span(start, end, label)
        if span is None:
            counts.misaligned += 1
        else:
            spans.append(span)
    doc.spans[spans_key] = spans
    return doc


def _read_span(item: Any, place: str, length: int) -> tuple[int, int, str]:
    found = item if isinstance(item, dict) else {}
    values: list[Any] = [found.get(name) for name in ("start", "end", "label")]
    if [type(value) for value in values] != [int, int, str]:
        raise ValueError(f"{place} has the span {item!r:.80}. {EXPECTED}.")
    start, end, label = values
    if not 0 <= start < end <= length:
        raise ValueError(
            f"{place} has a span from {start} to {end}, but its text has {length} characters."
        )
    try:
        word_of(label)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
    return start, end, label
