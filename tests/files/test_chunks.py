import io

from hypothesis import given
from hypothesis import strategies as st

from spacy_elmo.files.chunks import read_chunks
from spacy_elmo.files.decoding import normalize_line_ends, split_lines

contents = st.lists(st.sampled_from([b"a", b"\xc3\xa9", b" ", b"\n", b"\r", b"\r\n", b"\t"]))
contents = contents.map(b"".join)


@given(contents, st.booleans(), st.integers(1, 9))
def test_pieces_are_the_file(data, lines, chunk_bytes):
    pieces = list(read_chunks(io.BytesIO(data), lines=lines, chunk_bytes=chunk_bytes))
    assert b"".join(pieces) == data
    assert all(pieces)
    rest = data
    for i, piece in enumerate(pieces):  # and the same ones from each place on
        assert (
            list(read_chunks(io.BytesIO(rest), lines=lines, chunk_bytes=chunk_bytes))
            == (pieces[i:])
        )
        rest = rest[len(piece) :]
        piece.decode("utf8")  # cut between characters


@given(contents, st.integers(1, 9))
def test_pieces_of_lines_are_whole_lines(data, chunk_bytes):
    pieces = list(read_chunks(io.BytesIO(data), lines=True, chunk_bytes=chunk_bytes))
    found = [line for piece in pieces for line in split_lines(normalize_line_ends(piece.decode()))]
    text = data.decode().replace("\r\n", "\n").replace("\r", "\n")
    assert found == ([line.split() for line in text.removesuffix("\n").split("\n")] if data else [])


def test_running_text_is_cut_before_blank_lines_else_at_lines_else_at_spaces():
    def pieces(data):
        return list(read_chunks(io.BytesIO(data), lines=False, chunk_bytes=12))

    assert pieces(b"one two\n\nthree four") == [b"one two\n", b"\nthree four"]
    assert pieces(b"one\ntwo three four") == [b"one\n", b"two three ", b"four"]
    assert pieces(b"one two three four") == [b"one two ", b"three four"]


def test_line_ends_of_all_systems_are_newlines():
    assert normalize_line_ends("a\r\nb\rc\nd\x1a") == "a\nb\nc\nd"
