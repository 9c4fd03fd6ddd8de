import gzip
import sys

import pytest

from spacy_elmo.corpus.readers import TextSettings
from spacy_elmo.files import expansion

from ..corpus.test_readers import read, records, write

LINES = TextSettings(tokenized=True)


@pytest.mark.parametrize("name", ["a.txt.gz", "a.jsonl.gz"])
def test_damaged_gzip_is_an_error(tmp_path, name):
    whole = gzip.compress(records({"tokens": ["w"] * 9}).encode() * 9)
    for data in (whole[:-9], b"not gzip at all", whole[:12] + b"\xff" * 30):
        with pytest.raises(ValueError, match=f"{name} cannot be decompressed"):
            read(write(tmp_path / name, data), LINES)


@pytest.mark.slow
def test_zstandard_frames_are_read_and_damage_is_an_error(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    lines = [f"word {i}" for i in range(30_000)]
    halves = ("\n".join(lines[:9000]) + "\n", "\n".join(lines[9000:]))
    frames = [zstandard.compress(half.encode()) for half in halves]
    path = write(tmp_path / "a.txt.zst", b"".join(frames))
    assert read(path, LINES) == [[line.split() for line in lines]]
    for data in (frames[0][:-9], b"not zstd at all"):
        with pytest.raises(ValueError, match="a.txt.zst cannot be decompressed"):
            read(write(path, data), LINES)


def test_missing_package_for_zstandard_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(ImportError, match="pip install zstandard"):
        read(write(tmp_path / "a.txt.zst", b"x"), LINES)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.txt.gz", "a.jsonl.gz", "a.spacy.gz", "a.txt.zst"])
@pytest.mark.parametrize("content", [b"\0", b"a word\n"])
def test_file_that_expands_far_more_than_text_is_refused(tmp_path, monkeypatch, name, content):
    monkeypatch.setattr(expansion, "FREE_BYTES", 1 << 20)
    if name == "a.jsonl.gz":
        content = content if content == b"\0" else b'{"tokens": ["a"]}\n'
    data = content * (400_000 // len(content))
    if name.endswith(".gz"):
        compressed = gzip.compress(data)
    else:
        compressed = pytest.importorskip("zstandard").compress(data)
    # a file can contain several gzip members or Zstandard frames
    path = write(tmp_path / name, compressed * 40)
    with pytest.raises(ValueError, match=f"{name} expands to more than [0-9,]+ bytes from"):
        read(path, LINES)


def test_repetitive_text_is_read(tmp_path):
    lines = ["the same line again"] * 100_000
    path = write(tmp_path / "a.txt.gz", gzip.compress("\n".join(lines).encode()))
    assert read(path, LINES) == [[line.split() for line in lines]]
