"""Files that are not UTF-8 text are refused, with the line and the offset in the error."""

import gzip
import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_elmo.coref.formats.lines import numbered_lines
from spacy_elmo.corpus.readers import TextReader, TextSettings
from spacy_elmo.files.decoding import decode_text, decode_utf8
from spacy_elmo.files.reading import read_text, scan_file

TEXT = "Anna saw the café.\nShe liked it — “much”.\n"
OTHER_BYTES = {
    "utf-16": TEXT.encode("utf-16"),
    "utf-16-le": TEXT.encode("utf-16-le"),
    "utf-16-be": TEXT.encode("utf-16-be"),
    "utf-32": TEXT.encode("utf-32"),
    "utf-16-le, other script": "Она увидела реку.".encode("utf-16-le"),
    "latin-1": "Anna saw the café.".encode("latin-1"),
    "cp1252": "“much”".encode("cp1252"),
    "koi8-r": "Она увидела реку.".encode("koi8-r"),
    "shift-jis": "日本語".encode("shift-jis"),
    "gb18030": "中文".encode("gb18030"),
    "iso-2022-jp": "日本語".encode("iso-2022-jp"),
    "pdf": b"%PDF-1.4\n1 0 obj << /Length 3 >> endobj\n",
    "rtf": b"{\\rtf1 Anna saw the river.}",
    "postscript": b"%!PS-Adobe-3.0\n",
    "gzip without its suffix": gzip.compress(TEXT.encode()),
    "zip": b"PK\x03\x04\x14\x00\x00\x00\x08\x00",
    "png": b"\x89PNG\r\n\x1a\n",
    "bytes below 128": bytes(range(1, 128)),
    "half a character": "café".encode()[:-1],
}
READERS = {
    "scan": lambda path: scan_file(path, is_text=True),
    "running text": lambda path: list(TextReader(TextSettings()).chunks(path, abs)),
    "lines": lambda path: list(TextReader(TextSettings(tokenized=True)).chunks(path, abs)),
    "coreference": lambda path: list(numbered_lines(path)),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", OTHER_BYTES)
def test_other_encodings_and_binary_files_are_refused(tmp_path, name, reader):
    path = tmp_path / "a.txt"
    path.write_bytes(OTHER_BYTES[name])
    with pytest.raises(ValueError, match=r"a\.txt.*UTF-8"):
        READERS[reader](path)
    packed = tmp_path / "a.txt.gz"
    packed.write_bytes(gzip.compress(OTHER_BYTES[name]))
    with pytest.raises(ValueError, match=r"a\.txt\.gz.*UTF-8"):
        READERS[reader](packed)


@pytest.mark.parametrize("kind", ["utf-16", "utf-16-le", "latin-1"])
def test_records_in_other_encodings_are_refused(tmp_path, kind):
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"text": "café"}\n'.encode(kind))
    with pytest.raises(ValueError, match=r"a\.jsonl, line 1: .*UTF-8"):
        list(TextReader(TextSettings()).chunks(path, abs))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("bad, at", [(b"\xe9 ", 0), (b"\x00", 0), (b"\xe2\x82 ", 0), (b"a\x1b", 1)])
def test_the_line_and_the_offset_are_named(tmp_path, bad, at, reader):
    start = "\ufeffone\ntwo é\n".encode() * 40_000
    (tmp_path / "a.txt").write_bytes(start + bad + b"more")
    message = rf"a\.txt, line 80001: the byte 0x{bad[at]:02x} .*\(offset {len(start) + at}\)"
    with pytest.raises(ValueError, match=message):
        READERS[reader](tmp_path / "a.txt")


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"], include_characters="\t\n\v\f\r\x1e")))
def test_any_text_is_read(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("text") / "a.txt"
    data = text.encode()
    expected = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not text.removeprefix("\ufeff").lstrip().startswith(("%PDF-", "%!PS", "{\\rtf")):
        found = "".join(t for _, t in read_text(io.BytesIO(data), path, lines=False))
        assert found == expected


def test_byte_order_mark_at_the_start_of_a_file_is_removed(tmp_path):
    assert decode_text("\ufeffa\r\n".encode(), tmp_path, 0) == "a\r\n"
    assert decode_text("\ufeffa".encode(), tmp_path, 9) == "\ufeffa"


def test_a_scan_digests_the_whole_and_the_rest(tmp_path):
    text = " ".join(str(random.Random(0).random()) for _ in range(100_000))
    (tmp_path / "a.txt").write_text(text)
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "c.txt").write_text(text[1_500_001:])
    whole = scan_file(tmp_path / "a.txt", is_text=True, start=1_500_001)
    assert whole.size == len(text)
    assert scan_file(tmp_path / "b.txt.gz", is_text=True).digest == whole.digest
    assert scan_file(tmp_path / "c.txt", is_text=True).digest == whole.rest


def test_utf8_is_required_where_control_characters_are_allowed(tmp_path):
    assert decode_utf8("a\x00\nÜ".encode(), tmp_path) == "a\x00\nÜ"
    with pytest.raises(ValueError, match=r"a\.txt, line 9: the byte 0xdc is not UTF-8 .*offset 12"):
        decode_utf8(b"\n\n\xdc", tmp_path / "a.txt", line=7, offset=10)
