import gzip
import json
import subprocess
import sys

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, DocBin

from spacy_elmo.corpus.corpus_cache import open_corpus
from spacy_elmo.corpus.readers import TextReader, TextSettings, find_texts
from spacy_elmo.text.segments import PunctSegments, segment_docs

pytestmark = pytest.mark.slow

NLP = spacy.blank("en")
LINES, TEXT = TextSettings(tokenized=True), TextSettings()
PARAGRAPHS = [f'Number {i} came, they said. "Who?" asked {i + 1}.\nNo one.' for i in range(2000)]


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def read(path, settings=TEXT):
    """Return the sentences of each document."""
    corpus = open_corpus(path, settings, path.parent / "cache", progress=False)
    sentences = list(corpus.sentences())
    return [sentences[a:b] for a, b in zip(corpus.documents[:-1], corpus.documents[1:])]


def segments(text):
    """Return the segments that the `elmo` component reads."""
    batch = segment_docs([NLP(text)], PunctSegments()).batch
    words = [batch.words[i] for i in batch.ids]
    ends = np.cumsum(batch.lengths)
    return [words[start:end] for start, end in zip([0, *ends], ends)]


def records(*items):
    return "".join(json.dumps(item) + "\n" for item in items)


def test_running_text_is_split_like_the_segments_of_the_component(tmp_path):
    text = "\n\n".join(PARAGRAPHS)
    assert len(text) > 100_000  # several chunks
    assert read(write(tmp_path / "a.txt", text)) == [segments(text)]
    assert read(write(tmp_path / "b.md", "\ufeff" + text.replace("\n", "\r\n")))[0] == segments(
        text
    )
    (tokens,) = read(write(tmp_path / "a.txt.gz", gzip.compress(text.encode())))
    assert tokens == segments(text)


def test_running_text_of_several_chunks_is_one_document(tmp_path):
    text = "\n\n".join(PARAGRAPHS * 12)
    assert len(text) > 1_000_000
    (found,) = read(write(tmp_path / "a.txt", text))
    assert found == segments("\n\n".join(PARAGRAPHS)) * 12


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_tokenized_text_has_a_sentence_per_line(tmp_path, ending):
    lines = ["", "The cat .  sat", " \t", "don't  stop", "last"]
    path = write(tmp_path / "a.txt", ending.join(lines))
    assert read(path, LINES) == [[["The", "cat", ".", "sat"], ["don't", "stop"], ["last"]]]


def test_long_tokenized_text(tmp_path):
    lines = [f"line {i} " * (i % 7) for i in range(20_000)] + ["word " * 30_000]
    expected = [line.split() for line in lines if line.split()]
    assert read(write(tmp_path / "a.txt", "\n".join(lines)), LINES) == [expected]
    compressed = gzip.compress("\n".join(lines).encode())
    assert read(write(tmp_path / "a.txt.gz", compressed), LINES) == [expected]


def test_docs_are_documents_with_their_own_sentences(tmp_path):
    marked = Doc(NLP.vocab, words=["A", ".", "b", "\n", "c"], sent_starts=[1, 0, 0, 0, 1])
    merged = Doc(NLP.vocab, words=["New York", "a\nb", "is", "."])
    docs = [marked, Doc(NLP.vocab), NLP("He went. \n\n She  stayed."), NLP("  "), merged]
    DocBin(docs=docs).to_disk(tmp_path / "a.spacy")
    assert read(tmp_path / "a.spacy", LINES) == [
        [["A", ".", "b"], ["c"]],
        [["He", "went", "."], ["She", "stayed", "."]],
        [["New York", "a\nb", "is", "."]],
    ]


def test_many_docs(tmp_path):
    docs = list(NLP.pipe(PARAGRAPHS * 10))
    DocBin(docs=docs).to_disk(tmp_path / "a.spacy")
    assert read(tmp_path / "a.spacy") == [segments(text) for text in PARAGRAPHS] * 10


def test_records_are_documents(tmp_path):
    text = records(
        {"text": "He went. She stayed.", "meta": 1},
        {"tokens": ["one", " ", "two.", ""]},
        {"tokens": [["a", "b"], [], ["c d"]]},
        {"text": " "},
        {"tokens": []},
        {"tokens": [{"text": "Hi", "id": 0}], "text": "Hi there."},
        {"tokens": ["not", "this"], "text": "but these"},
    )
    path = write(tmp_path / "a.jsonl", "\ufeff" + text.replace("\n", "\r\n\n"))
    assert read(path) == [
        [["He", "went", "."], ["She", "stayed", "."]],
        [["one", "two."]],
        [["a", "b"], ["c d"]],
        [["Hi", "there", "."]],
        [["not", "this"]],
    ]
    assert read(write(tmp_path / "b.jsonl.gz", gzip.compress(text.encode()))) == read(path)


def test_many_records(tmp_path):
    items = [{"tokens": [["a", str(i)], ["b"]]} for i in range(2500)]
    found = read(write(tmp_path / "a.jsonl", records(*items, {"text": "end"})), LINES)
    assert found == [[["a", str(i)], ["b"]] for i in range(2500)] + [[["end"]]]


def test_a_long_record_is_one_document(tmp_path):
    text = "\n\n".join(PARAGRAPHS)
    path = write(tmp_path / "a.jsonl", records({"body": text}, {"body": "And so on."}))
    expected = [segments(text), segments("And so on.")]
    assert read(path, TextSettings(text_key="body")) == expected


def test_lone_surrogates_are_replaced(tmp_path):
    path = write(tmp_path / "a.jsonl", r'{"text": "a \ud800 b"}' + "\n" + r'{"tokens": ["\udc00"]}')
    assert read(path) == [[["a", "\ufffd", "b"]], [["\ufffd"]]]


@pytest.mark.parametrize(
    "line, message",
    [
        ("{", "this is not JSON"),
        ("[" * 100_000, "this is not JSON"),
        ("[1]", "holds a list; expected .*text"),
        ('{"txt": "a", "id": 1}', "has 'txt', 'id'; expected"),
        ("{}", "has no keys"),
        ('{"text": null}', "has a NoneType under 'text'"),
        ('{"tokens": ["a", 1]}', "values that are not words"),
        ('{"tokens": ["a", ["b"]]}', "values that are not words"),
    ],
)
def test_errors_in_records_name_the_line(tmp_path, line, message):
    path = write(tmp_path / "a.jsonl", '{"text": "a"}\n\n' + line + "\n")
    with pytest.raises(ValueError, match=f"a.jsonl, line 3.*{message}"):
        read(path)


@pytest.mark.parametrize("settings", [TEXT, LINES])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_errors_in_utf8_name_the_line(tmp_path, settings, ending):
    data = (b"a long line of words" + ending) * 9000 + b"caf\xe9 au lait" + ending
    path = write(tmp_path / "a.txt", data)
    with pytest.raises(ValueError, match="a.txt, line 9001: the byte 0xe9 is not UTF-8"):
        read(path, settings)


@pytest.mark.parametrize("text, line", [("a\n", 2), ("\n\n", 3), ("", 1)])
def test_errors_in_utf8_after_a_byte_order_mark_name_the_line(tmp_path, text, line):
    path = write(tmp_path / "a.txt", b"\xef\xbb\xbf" + text.encode() + b"\xe9")
    with pytest.raises(ValueError, match=f"a.txt, line {line}: the byte 0xe9 is not UTF-8"):
        read(path)


def test_errors_in_utf8_of_records_name_the_line(tmp_path):
    path = write(tmp_path / "a.jsonl", b'{"text": "a"}\n{"text": "\xff"}')
    with pytest.raises(ValueError, match="a.jsonl, line 2: the byte 0xff is not UTF-8"):
        read(path)


@pytest.mark.parametrize("data", [b"no docs", b"\x00" * 50])
def test_a_bad_docbin_is_an_error(tmp_path, data):
    with pytest.raises(ValueError, match="a.spacy cannot be read as a DocBin"):
        read(write(tmp_path / "a.spacy", data))


def test_progress_counts_all_bytes(tmp_path):
    DocBin(docs=[NLP("One.")]).to_disk(tmp_path / "a.spacy")
    write(tmp_path / "b.txt", "\n\n".join(PARAGRAPHS))
    write(tmp_path / "c.jsonl.gz", gzip.compress(records({"text": "Two."}).encode()))
    for path in find_texts(tmp_path):
        n_bytes = []
        list(TextReader(TEXT).chunks(path, n_bytes.append))
        assert sum(n_bytes) == path.stat().st_size


def test_files_are_found_once_and_in_order(tmp_path):
    for name in ("b.txt", "a.jsonl.gz", "x/c.txt", "x/y/d.txt", "e.png", ".f.txt", "[g].txt"):
        write(tmp_path / name, "")

    def names(*patterns):
        paths = find_texts([str(tmp_path / pattern) for pattern in patterns])
        return [str(path.relative_to(tmp_path)) for path in paths]

    assert names("") == ["[g].txt", "a.jsonl.gz", "b.txt"]
    assert names("x", "b.txt", "*.txt") == ["[g].txt", "b.txt", "x/c.txt"]
    assert names("**/*.txt") == ["[g].txt", "b.txt", "x/c.txt", "x/y/d.txt"]
    assert names("[g].txt", "e.png") == ["[g].txt", "e.png"]
    assert names("x/**") == ["x/c.txt", "x/y/d.txt"]
    assert find_texts(tmp_path / "b.txt") == [tmp_path / "b.txt"]


@pytest.mark.parametrize(
    "pattern, message",
    [
        ("*.md", r"\*.md matches no file"),
        ("dir*", r"matches only directories; end it with .*/\*"),
        ("none.txt", "no file or directory .*none.txt"),
        ("directory", r"directory .*directory holds no file that ends in .txt"),
    ],
)
def test_errors_name_patterns_without_files(tmp_path, pattern, message):
    write(tmp_path / "directory" / "a.png", "")
    with pytest.raises(ValueError, match=message):
        find_texts([write(tmp_path / "a.txt", ""), tmp_path / pattern])


@pytest.mark.parametrize("patterns", [[], "", [""]])
def test_no_pattern_is_an_error(patterns):
    with pytest.raises(ValueError, match="No text files are named"):
        find_texts(patterns)


def test_tokenized_text_needs_no_spacy(tmp_path):
    write(tmp_path / "a.txt", "one two\nthree\n")
    write(tmp_path / "b.jsonl", '{"tokens": ["four"]}\n')
    code = (
        "import sys\n"
        "sys.modules['spacy'] = sys.modules['thinc'] = None\n"
        "from spacy_elmo.corpus.corpus_cache import open_corpus\n"
        "from spacy_elmo.corpus.readers import TextSettings\n"
        "from spacy_elmo.lm.vocab import Vocab\n"
        "corpus = open_corpus(sys.argv[1], TextSettings(tokenized=True), sys.argv[2], False)\n"
        "Vocab.count(corpus).to_file(sys.argv[2] + '/vocab.txt')\n"
        "try:\n"
        "    open_corpus(sys.argv[1], TextSettings(), sys.argv[2], False)\n"
        "except ImportError as error:\n"
        "    print(corpus.n_tokens, error)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("4 Running text and .spacy files are read with spaCy"), done


def test_importing_is_cheap():
    code = (
        "import sys, spacy_elmo.corpus.corpus_cache, spacy_elmo.lm.vocab\n"
        "print(*{'spacy', 'thinc', 'torch', 'h5py'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "", done
