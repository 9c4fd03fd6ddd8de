import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spacy_elmo.corpus import corpus_check
from spacy_elmo.corpus.corpus import Corpus
from spacy_elmo.corpus.corpus_cache import open_corpus
from spacy_elmo.corpus.readers import TextReader, TextSettings

LINES = TextSettings(tokenized=True)
ARRAYS = ("counts", "tokens", "starts", "documents")

words = st.sampled_from(["the", "a", "<S>", "New York", "\n", "é", "\ufeff"])
documents = st.lists(st.lists(st.lists(words, max_size=5), max_size=5), max_size=5)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


@pytest.fixture
def two_files(tmp_path):
    write(tmp_path / "in" / "a.txt", "the cat sat\n\nthe end\n")
    write(tmp_path / "in" / "b.txt", "a cat\n")
    return tmp_path / "in"


def read(patterns, cache, text_settings=LINES):
    return open_corpus(patterns, text_settings, cache, progress=False)


@given(documents)
def test_sentences_are_restored(texts):
    corpus = Corpus.from_sentences(texts)
    sentences = [sentence for document in texts for sentence in document if sentence]
    assert list(corpus.sentences()) == sentences
    assert corpus.words == list(dict.fromkeys(word for words in sentences for word in words))
    assert corpus.counts.tolist() == [sum(s.count(w) for s in sentences) for w in corpus.words]
    assert np.diff(corpus.documents).tolist() == [
        n for n in (sum(map(bool, document)) for document in texts) if n
    ]
    n_tokens = sum(map(len, sentences))
    assert (corpus.n_tokens, corpus.n_sentences) == (n_tokens, len(sentences))
    assert corpus.n_positions == n_tokens + len(sentences)
    assert corpus.n_documents == len(corpus.documents) - 1


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents)
def test_files_and_sentences_in_memory_give_the_same_corpus(tmp_path, texts):
    texts.append([["end"]])
    records = [{"tokens": document} for document in texts]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, records)))
    found = read(path, tmp_path / "cache")
    non_blank = [[[word for word in s if word.strip()] for s in document] for document in texts]
    expected = Corpus.from_sentences(non_blank)
    assert found.words == expected.words
    for name in ARRAYS:
        assert getattr(found, name).dtype == getattr(expected, name).dtype
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_tokens_are_memory_mapped(two_files, tmp_path):
    corpus = read(two_files, tmp_path / "cache")
    assert isinstance(corpus.tokens, np.memmap) and corpus.tokens.dtype == np.int32
    assert isinstance(corpus.starts, np.memmap) and corpus.starts.dtype == np.int64
    assert corpus.words == ["the", "cat", "sat", "end", "a"]
    assert corpus.tokens.tolist() == [0, 1, 2, 0, 3, 4, 1]
    assert corpus.starts.tolist() == [0, 3, 5, 7]
    assert corpus.documents.tolist() == [0, 2, 3]


def test_text_is_tokenized_once(two_files, tmp_path, monkeypatch):
    first = read(two_files, tmp_path / "cache")
    monkeypatch.setattr(TextReader, "chunks", None)
    second = read(str(two_files / "*.txt"), tmp_path / "cache")
    assert second.key == first.key
    assert list(second.sentences()) == list(first.sentences())
    assert {p.name for p in (tmp_path / "cache").iterdir()} == {".lock", first.key}


def test_the_key_depends_on_content_and_settings_and_not_on_the_place(two_files, tmp_path):
    key = read(two_files, tmp_path / "cache").key
    other = shutil.copytree(two_files, tmp_path / "elsewhere")
    assert read(other, tmp_path / "other cache").key == key
    keys = {key, read(two_files, tmp_path / "cache", TextSettings()).key}
    keys.add(read(two_files / "a.txt", tmp_path / "cache").key)
    (other / "a.txt").rename(other / "c.txt")
    keys.add(read(other, tmp_path / "cache").key)  # the other order
    write(other / "c.txt", "the cat sat\n\nthe End\n")
    keys.add(read(other, tmp_path / "cache").key)
    assert len(keys) == 5


@pytest.mark.parametrize(
    "text_settings, key",
    [
        (LINES, "e6b289a017b25368bd6706f93e42f959"),
        (TextSettings("de", True, "body"), "94885dddc2314532d7a76646fd23da3e"),
    ],
)
def test_keys_have_not_changed_since_documents_can_be_separated(
    two_files, tmp_path, text_settings, key
):
    assert read(two_files, tmp_path / "cache", text_settings).key == key
    other = dataclasses.replace(text_settings, document="blank_line")
    assert read(two_files, tmp_path / "cache", other).key != key


def test_in_memory_keys_differ_by_content():
    texts = ([[["a", "b"]]], [[["a"], ["b"]]], [[["a"]], [["b"]]], [[["a", "c"]]])
    assert len({Corpus.from_sentences(text).key for text in texts}) == 4
    assert Corpus.from_sentences(texts[0]).key == Corpus.from_sentences(texts[0]).key


def truncate(folder, name):
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[:-4])


DAMAGE = {
    "truncated tokens": lambda folder: truncate(folder, "tokens.npy"),
    "truncated words": lambda folder: truncate(folder, "words.json"),
    "lost starts": lambda folder: (folder / "starts.npy").unlink(),
    "lost settings": lambda folder: (folder / "corpus.json").unlink(),
    "truncated settings": lambda folder: truncate(folder, "corpus.json"),
    "strange settings": lambda folder: write(folder / "corpus.json", "[]"),
    "other format": lambda folder: write(
        folder / "corpus.json", '{"format": "next", "key": "", "sizes": {}}'
    ),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
def test_a_damaged_cache_is_an_error_and_the_text_is_retokenized(two_files, tmp_path, damage):
    whole = read(two_files, tmp_path / "cache")
    folder = tmp_path / "cache" / whole.key
    expected = list(whole.sentences())
    damage(folder)
    with pytest.raises(ValueError, match=str(folder)):
        Corpus.open(folder)
    with pytest.warns(UserWarning, match="Retokenizing the text"):
        again = read(two_files, tmp_path / "cache")
    assert list(again.sentences()) == expected


FILES = ["tokens.npy", "starts.npy", "documents.npy", "counts.npy", "words.json", "corpus.json"]


@pytest.mark.parametrize("name", FILES)
def test_any_changed_byte_of_a_cache_is_an_error(two_files, tmp_path, name):
    folder = tmp_path / "cache" / read(two_files, tmp_path / "cache").key
    Corpus.open(folder)
    data = (folder / name).read_bytes()
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        (folder / name).write_bytes(changed)
        with pytest.raises(ValueError, match=f"{name}.*Delete the folder"):
            Corpus.open(folder)
    (folder / name).write_bytes(data)
    Corpus.open(folder)


def settled(folder, monkeypatch):
    """Open a corpus whose files have not changed for `SETTLED_SECONDS`."""
    monkeypatch.setattr(corpus_check, "SETTLED_SECONDS", 0)
    Corpus.open(folder)
    assert (folder / "checked.json").is_file()


def test_digests_are_computed_once(two_files, tmp_path, monkeypatch):
    folder = tmp_path / "cache" / read(two_files, tmp_path / "cache").key
    # a change of such new files may not change their times
    assert not (folder / "checked.json").exists()
    settled(folder, monkeypatch)

    def fail(*args):
        raise AssertionError("the files are read again")

    with monkeypatch.context() as patch:
        patch.setattr(corpus_check, "check_file", fail)
        assert Corpus.open(folder).n_tokens == 7
        (folder / "checked.json").write_text("{")
        with pytest.raises(AssertionError, match="read again"):
            Corpus.open(folder)
    Corpus.open(folder)


@pytest.mark.skipif(os.name != "posix", reason="times of changes")
def test_a_change_that_preserves_size_and_time_is_an_error(two_files, tmp_path, monkeypatch):
    folder = tmp_path / "cache" / read(two_files, tmp_path / "cache").key
    settled(folder, monkeypatch)
    path = folder / "tokens.npy"
    stat, data = path.stat(), bytearray(path.read_bytes())
    time.sleep(0.05)
    data[-4] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(ValueError, match="tokens.npy has changed since it was written"):
        Corpus.open(folder)


def test_digests_of_a_copied_cache_are_recomputed(two_files, tmp_path, monkeypatch):
    folder = tmp_path / "cache" / read(two_files, tmp_path / "cache").key
    settled(folder, monkeypatch)
    shutil.copytree(folder, tmp_path / "copy")
    truncate(tmp_path / "copy", "words.json")
    with pytest.raises(ValueError, match="words.json"):
        Corpus.open(tmp_path / "copy")


def test_a_cache_without_digests_is_read(two_files, tmp_path):
    corpus = read(two_files, tmp_path / "cache")
    path = tmp_path / "cache" / corpus.key / "corpus.json"
    settings = json.loads(path.read_text())
    del settings["digest"], settings["files"]
    path.write_text(json.dumps(settings))
    assert list(Corpus.open(path.parent).sentences()) == list(corpus.sentences())


def test_a_killed_process_leaves_no_corpus(two_files, tmp_path):
    code = (
        "import os, sys\n"
        "from spacy_elmo.corpus import corpus_cache\n"
        "from spacy_elmo.corpus.readers import TextSettings\n"
        "corpus_cache.CorpusWriter.finish = lambda self, key: os._exit(9)\n"
        "corpus_cache.open_corpus(*sys.argv[1:2], TextSettings(tokenized=True), sys.argv[2])\n"
    )
    cache = tmp_path / "cache"
    command = [sys.executable, "-c", code, str(two_files), str(cache)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 9, done.stderr
    left = {path.suffix or path.name for path in cache.iterdir()}
    assert left == {".part", ".lock"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        corpus = read(two_files, cache)
    assert corpus.n_tokens == 7
    assert sorted(path.name for path in cache.iterdir()) == [".lock", corpus.key]


def test_a_process_waits_for_another_that_tokenizes_the_same_text(two_files, tmp_path):
    code = (
        "import sys, time\n"
        "from spacy_elmo.corpus import corpus_cache\n"
        "from spacy_elmo.corpus.readers import TextSettings\n"
        "finish = corpus_cache.CorpusWriter.finish\n"
        "def slowly(self, key):\n"
        "    print('reading', flush=True)\n"
        "    sys.stdin.read()\n"
        "    finish(self, key)\n"
        "corpus_cache.CorpusWriter.finish = slowly\n"
        "corpus_cache.open_corpus(*sys.argv[1:2], TextSettings(tokenized=True), sys.argv[2])\n"
    )
    cache = tmp_path / "cache"
    command = [sys.executable, "-c", code, str(two_files), str(cache)]
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        assert other.stdout.readline() == "reading\n"
        ours = pool.submit(read, two_files, cache)
        with pytest.raises(NotYet):
            ours.result(timeout=0.5)
        other.stdin.close()
        assert ours.result(timeout=60).n_tokens == 7
    assert sorted(path.name for path in cache.iterdir()) == [".lock", ours.result().key]


def test_an_error_leaves_no_files(tmp_path):
    bad = write(tmp_path / "a.jsonl", '{"tokens": ["a"]}\n{"tokens": "b"}\n')
    with pytest.raises(ValueError, match="line 2"):
        read(bad, tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_a_file_that_changes_while_it_is_read_is_an_error(two_files, tmp_path, monkeypatch):
    chunks = TextReader.chunks

    def change(reader, path, *args):
        yield from chunks(reader, path, *args)
        write(path, "more")

    monkeypatch.setattr(TextReader, "chunks", change)
    with pytest.raises(ValueError, match="a.txt changed while it was read"):
        read(two_files, tmp_path / "cache")


@pytest.mark.parametrize(
    "name, content", [("a.txt", "the cat sit\n\nthe end\n"), ("b.txt", "a fox\n")]
)
def test_a_change_during_reading_that_preserves_size_and_time_is_an_error(
    two_files, tmp_path, monkeypatch, name, content
):
    chunks = TextReader.chunks

    def change(reader, path, *args):
        if path.name == name:
            stat = path.stat()
            write(path, content)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
            assert path.stat().st_size == stat.st_size
        yield from chunks(reader, path, *args)

    monkeypatch.setattr(TextReader, "chunks", change)
    with pytest.raises(ValueError, match="changed while it was read. Run the command again"):
        read(two_files, tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_leftovers_of_killed_processes_are_removed(two_files, tmp_path):
    cache = tmp_path / "cache"
    for name in (f".{'0a' * 16}.abcd1234.part/x", ".film.mkv.part", ".notes.old/x"):
        write(cache / name, "half")
    key = read(two_files, cache).key
    names = {path.name for path in cache.iterdir()}
    assert names == {".lock", key, ".film.mkv.part", ".notes.old"}


def test_empty_files_give_a_warning_and_are_left_out(two_files, tmp_path):
    for name, text in (("0.txt", ""), ("aa.txt", " \n\n"), ("z.txt", "\ufeff")):
        write(two_files / name, text)
    with pytest.warns(UserWarning, match="holds no words") as caught:
        corpus = read(two_files, tmp_path / "cache")
    assert [str(two_files / name) in str(w.message) for w, name in zip(caught, ("0.txt",))]
    assert len(caught) == 3
    assert corpus.n_documents == 2


def test_no_text_at_all_is_an_error(tmp_path):
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="no text in .*a.txt"):
        read(write(tmp_path / "a.txt", "\n"), tmp_path / "cache")


@pytest.mark.parametrize("texts", [[["a sentence"]], ["a"], [[[1, 2]]]])
def test_sentences_must_be_lists_of_words(texts):
    with pytest.raises(ValueError, match="list of words"):
        Corpus.from_sentences(texts)


def test_counts_grow_with_the_distinct_words(tmp_path):
    lines = [" ".join(f"w{i * j}" for i in range(100)) for j in range(400)]
    corpus = read(write(tmp_path / "a.txt", "\n".join(lines)), tmp_path / "cache")
    assert list(corpus.sentences()) == [line.split() for line in lines]
    np.testing.assert_array_equal(corpus.counts, np.bincount(corpus.tokens))
