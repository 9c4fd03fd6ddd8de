"""Documents that blank lines separate, against a plain implementation that reads a file at once."""

import gzip
import io
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from spacy.tokens import DocBin

from spacy_elmo.corpus import readers, tokenizing
from spacy_elmo.corpus.corpus import Corpus
from spacy_elmo.corpus.corpus_cache import open_corpus
from spacy_elmo.corpus.documents import split_running_text
from spacy_elmo.corpus.readers import TextReader, TextSettings
from spacy_elmo.files.reading import read_text
from spacy_elmo.pretrain.windows import InDocuments

from .test_readers import NLP, PARAGRAPHS, read, records, segments, write

BLANK_LINES = TextSettings(document="blank_line")
TOKENIZED = TextSettings(tokenized=True, document="blank_line")

strings = [
    *("a", "Bé said .", '"Who?" he asked .', "one two", "\u3000", "\ufeff"),
    *(" ", "\t", "\f", "\x1a", "\n", "\r\n", "\r", "\n\n", "\r\n\r\n", "\n \t\n", "\n\n\n"),
]
contents = st.lists(st.sampled_from(strings), max_size=25).map("".join)
few_examples = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def plain_documents(text):
    """The lines of each document."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    lines = text.replace("\x1a", "").split("\n")
    groups = groupby(lines, key=lambda line: bool(line.strip()))
    return [list(group) for has_words, group in groups if has_words]


@cache
def reader_of(text_settings):
    return TextReader(text_settings)


def chunks_of(path, text_settings, chunk_bytes):
    """What a reader makes of a file in chunks of a size."""
    small = partial(read_text, chunk_bytes=chunk_bytes)
    with mock.patch.object(readers, "read_text", small):
        return list(reader_of(text_settings).chunks(path, abs))


def documents_of(chunks):
    """The sentences of each document."""
    found: dict[int, list[list[str]]] = {}
    for chunk in chunks:
        ends = np.cumsum(chunk.lengths)
        for document, start, end in zip(chunk.documents, ends - chunk.lengths, ends):
            assert document >= max(found, default=0)
            sentence = [chunk.words[i] for i in chunk.ids[start:end]]
            found.setdefault(document, []).append(sentence)
    return list(found.values())


def flat(documents):
    return [sentence for document in documents for sentence in document]


@settings(max_examples=500)
@given(contents, st.integers(1, 9))
@example("a\r\nb", 2)  # a CR LF in two chunks is one line end
@example("aa\n \nb", 4)  # a blank line in two chunks
@example("aa\n    \nb", 5)
@example("\n\na", 1)
def test_running_text_is_split_at_blank_lines(text, chunk_bytes):
    stream = io.BytesIO(text.encode())
    found: dict[int, str] = {}
    chunks = read_text(stream, Path("a.txt"), lines=False, chunk_bytes=chunk_bytes)
    for document, cut in split_running_text(chunks):
        assert cut and document >= max(found, default=0)
        found[document] = found.get(document, "") + cut
    documents = [cut.strip() for cut in found.values() if cut.strip()]
    assert documents == ["\n".join(lines).strip() for lines in plain_documents(text)]


@few_examples
@given(contents, st.integers(1, 30))
def test_only_the_documents_of_running_text_change(tmp_path, text, chunk_bytes):
    path = write(tmp_path / "a.txt", text)
    found = documents_of(chunks_of(path, BLANK_LINES, chunk_bytes))
    assert flat(found) == flat(documents_of(chunks_of(path, TextSettings(), chunk_bytes)))
    letters = ["".join(words for sentence in document for words in sentence) for document in found]
    expected = ["".join("".join(lines).split()) for lines in plain_documents(text)]
    assert ["".join(document.split()) for document in letters] == expected


@few_examples
@given(contents, st.integers(1, 30))
def test_blank_lines_separate_documents_of_tokenized_text(tmp_path, text, chunk_bytes):
    path = write(tmp_path / "a.txt", text)
    found = documents_of(chunks_of(path, TOKENIZED, chunk_bytes))
    assert found == [[line.split() for line in lines] for lines in plain_documents(text)]
    whole = documents_of(chunks_of(path, TextSettings(tokenized=True), chunk_bytes))
    assert whole == ([flat(found)] if found else [])


LONG = "\n \n\n".join(PARAGRAPHS)


@pytest.mark.parametrize(
    "ending, suffix, compress",
    [("\n", "", bytes), ("\r\n", ".gz", gzip.compress), ("\r", ".zst", zstandard.compress)],
)
def test_articles_of_a_long_file_are_documents(tmp_path, ending, suffix, compress):
    assert len(LONG) > 100_000  # several chunks
    data = f"\n \n{LONG}\n\n\n".replace("\n", ending).encode()
    path = write(tmp_path / f"a.txt{suffix}", compress(data))
    articles = read(path, BLANK_LINES)
    assert len(articles) == len(PARAGRAPHS)
    assert flat(articles) == segments("\n\n".join(PARAGRAPHS))
    assert articles[-1] == segments(PARAGRAPHS[-1])
    lines = [[line.split() for line in text.split("\n")] for text in PARAGRAPHS]
    assert read(path, TOKENIZED) == lines


def test_an_article_of_several_chunks_is_one_document(tmp_path):
    article = "\n".join(PARAGRAPHS)  # without blank lines
    assert len(article) > 100_000
    found = read(write(tmp_path / "a.txt", f"One.\n\n{article}\n\nEnd."), BLANK_LINES)
    first, long, last = [[word for words in document for word in words] for document in found]
    assert (first, last) == (["One", "."], ["End", "."])
    assert long == [word for words in segments(article) for word in words]


def test_a_line_without_spaces_that_is_cut_within_its_line_end(tmp_path):
    line = "a" * (48_000 - 1)  # the CR is the last byte of a chunk
    for text_settings in (BLANK_LINES, TOKENIZED):
        path = write(tmp_path / "a.txt", f"{line}\r\nb")
        assert flat(read(path, text_settings)) in ([[line], ["b"]], [[line, "b"]])
        assert len(read(path, text_settings)) == 1


def test_each_file_starts_a_document(tmp_path):
    write(tmp_path / "a.txt", "one\n\ntwo")
    write(tmp_path / "b.txt", "three\n\n")
    write(tmp_path / "c.txt", "four")
    corpus = open_corpus(tmp_path, TOKENIZED, tmp_path / "cache", progress=False)
    assert list(corpus.sentences()) == [["one"], ["two"], ["three"], ["four"]]
    assert corpus.documents.tolist() == [0, 1, 2, 3, 4]


def test_records_and_docs_are_documents_whatever_their_blank_lines(tmp_path):
    path = write(tmp_path / "a.jsonl", records({"text": "One.\n\nTwo."}, {"text": "Three."}))
    assert read(path, BLANK_LINES) == read(path) == [[["One", "."], ["Two", "."]], [["Three", "."]]]
    DocBin(docs=[NLP("One.\n\nTwo.")]).to_disk(tmp_path / "b.spacy")
    assert read(tmp_path / "b.spacy", BLANK_LINES) == [[["One", "."], ["Two", "."]]]


def test_a_reader_holds_the_documents_of_one_chunk(tmp_path, monkeypatch):
    monkeypatch.setattr(tokenizing, "CHUNK_CHARS", 10_000)
    path = write(tmp_path / "a.txt", LONG * 3)
    n_read: list[int] = []
    chunks = TextReader(BLANK_LINES).chunks(path, n_read.append)
    sizes = [len(next(chunks).ids) for _ in range(2)]
    assert max(sizes) < 4_000
    assert sum(n_read) < 200_000 < path.stat().st_size


def test_articles_are_shuffled(tmp_path):
    articles = [f"a{i} b{i}\nc{i}" for i in range(50)]
    path = write(tmp_path / "a.txt", "\n\n".join(articles))
    corpus = open_corpus(path, TOKENIZED, tmp_path / "cache", progress=False)
    assert corpus.n_documents == 50
    order = InDocuments(corpus, 1, False, (0,)).order
    np.testing.assert_array_equal(order[1::2], order[::2] + 1)  # each article in order
    assert sorted(order[::2]) == list(range(0, 100, 2)) != order[::2].tolist()
    in_memory = Corpus.from_sentences(
        [[line.split() for line in article.split("\n")] for article in articles]
    )
    np.testing.assert_array_equal(in_memory.documents, corpus.documents)


def test_an_unknown_rule_is_an_error():
    with pytest.raises(ValueError, match="'document' is 'page'; it must be 'file', or"):
        TextSettings(document="page")
