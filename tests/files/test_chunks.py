import io

from hypothesis import given
from hypothesis import strategies as st

from spacy_elmo.files.chunks import read_chunks
from spacy_elmo.files.decoding import normalize_line_ends, split_lines


def stream_of(data):
    """A stream that raises an error for a negative number of bytes, as a file does."""
    return io.BufferedReader(io.BytesIO(data))


contents = st.lists(st.sampled_from([b"a", b"\xc3\xa9", b" ", b"\n", b"\r", b"\r\n", b"\t"]))
contents = contents.map(b"".join)


@given(contents, st.booleans(), st.integers(1, 9))
def test_chunks_join_to_the_file(data, lines, chunk_bytes):
    chunks = list(read_chunks(stream_of(data), lines=lines, chunk_bytes=chunk_bytes))
    assert b"".join(chunks) == data
    assert all(chunks)
    rest = data
    for i, chunk in enumerate(chunks):  # reading from the start of any chunk gives the same chunks
        assert (
            list(read_chunks(stream_of(rest), lines=lines, chunk_bytes=chunk_bytes)) == (chunks[i:])
        )
        rest = rest[len(chunk) :]
        chunk.decode("utf8")  # cut between characters


@given(contents, st.integers(1, 9))
def test_chunks_of_lines_are_whole_lines(data, chunk_bytes):
    chunks = list(read_chunks(stream_of(data), lines=True, chunk_bytes=chunk_bytes))
    found = [line for chunk in chunks for line in split_lines(normalize_line_ends(chunk.decode()))]
    text = data.decode().replace("\r\n", "\n").replace("\r", "\n")
    assert found == ([line.split() for line in text.removesuffix("\n").split("\n")] if data else [])


def test_long_lines_of_different_lengths_are_chunks():
    lines = [b"a" * 90 + b"\n", b"b" * 70 + b"\n", b"c\n", b"d" * 300]
    found = list(read_chunks(stream_of(b"".join(lines)), lines=True, chunk_bytes=20))
    assert found == [lines[0], lines[1] + lines[2], lines[3]]


def test_running_text_is_cut_at_blank_lines_or_line_ends_or_spaces():
    def chunks(data):
        return list(read_chunks(stream_of(data), lines=False, chunk_bytes=12))

    assert chunks(b"one two\n\nthree four") == [b"one two\n", b"\nthree four"]
    assert chunks(b"one\ntwo three four") == [b"one\n", b"two three ", b"four"]
    assert chunks(b"one two three four") == [b"one two ", b"three four"]


def test_line_ends_of_all_systems_are_newlines():
    assert normalize_line_ends("a\r\nb\rc\nd\x1a") == "a\nb\nc\nd"
