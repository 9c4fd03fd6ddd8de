"""Damaged files of all formats: errors that name the file, and documents that are left out."""

import random
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.tokens import Doc, DocBin, Span

from spacy_elmo.coref.formats import Dropped, read_coref, write_coref

pytestmark = pytest.mark.slow

CONLL = """\
#begin document ({0}); part 000
{0} 0 0 Anna - (1)
{0} 0 1 saw - -
{0} 0 2 her - (1)

#end document
"""
JSON = (
    '{{"doc_key": "{0}", "sentences": [["Anna", "saw"], ["her"]], '
    '"clusters": [[[0, 0], [2, 2]]]}}\n'
)
CONLLU = """\
# newdoc id = {0}
# global.Entity = eid-etype-head-other
1-2\tAnnasaw\t_\t_\t_\t_\t_\t_\t_\t_
1\tAnna\t_\t_\t_\t_\t0\t_\t_\tEntity=(e1-p-1-)
2\tsaw\t_\t_\t_\t_\t0\t_\t_\t_
2.1\tx\t_\t_\t_\t_\t_\t_\t_\t_
3\ther\t_\t_\t_\t_\t0\t_\t_\tEntity=(e1-p-1-)

"""
TEXTS = {"conll": CONLL, "jsonl": JSON, "conllu": CONLLU}


def make_doc(name: str) -> Doc:
    doc = Doc(spacy.blank("en").vocab, ["Anna", "saw", "her"], sent_starts=[True, False, False])
    doc.spans["coref_clusters_1"] = [Span(doc, 0, 1), Span(doc, 2, 3)]
    doc.spans["speakers"] = [Span(doc, 0, 3, label="A Qzx")]
    doc.user_data["document_id"] = name
    return doc


def unpacked(names: str = "abc") -> dict[str, object]:
    docs = [make_doc(name) for name in names]
    data = DocBin(docs=docs, store_user_data=True).to_bytes()
    return dict(srsly.msgpack_loads(zlib.decompress(data)))


def packed(content: object) -> bytes:
    return zlib.compress(srsly.msgpack_dumps(content))


def changed(**values: object) -> bytes:
    return packed({**unpacked(), **values})


def out_of_range() -> bytes:
    docs = [make_doc(name) for name in "abc"]
    long = Doc(docs[1].vocab, ["x"] * 9)
    long.spans["coref_clusters_1"] = [Span(long, 5, 8)]
    content = unpacked()
    groups = list(content["span_groups"])  # type: ignore[call-overload]
    groups[1] = long.spans.to_bytes()
    return packed({**content, "span_groups": groups})


@pytest.mark.parametrize(
    "make",
    [
        lambda: b"",
        lambda: b"no DocBin",
        lambda: packed(unpacked())[:-9],
        lambda: zlib.compress(b"\xc1"),
        lambda: packed([1, 2]),
        lambda: packed("text"),
        lambda: packed({}),
        lambda: changed(attrs=[]),
        lambda: changed(attrs=[9999] * 40),
        lambda: changed(attrs="ORTH"),
        lambda: changed(tokens=b""),
        lambda: changed(tokens=b"\xff" * 37),
        lambda: changed(lengths=b"\xff" * 12),
        lambda: changed(strings=[]),
        lambda: changed(span_groups=[b"\xff", b"", b""]),
        lambda: changed(span_groups=[3, 4, 5]),
        lambda: changed(user_data=[b"\xc1"] * 3),
        lambda: changed(user_data=[srsly.msgpack_dumps([1])] * 3),
        out_of_range,
    ],
)
def test_errors_of_damaged_docbins_name_the_file_and_the_fix(
    tmp_path: Path, make: Callable[[], bytes]
) -> None:
    path = tmp_path / "bad.spacy"
    path.write_bytes(make())
    for output in ("out.conll", "out.jsonl", "out.spacy"):
        with pytest.raises(ValueError, match="bad.spacy.*Write it again with DocBin.to_disk"):
            write_coref(read_coref(path), tmp_path / output)


def test_one_bad_doc_of_a_docbin_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "bad.spacy").write_bytes(out_of_range())
    dropped = Dropped(skip_errors=True)
    docs = list(read_coref(tmp_path / "bad.spacy", dropped=dropped))
    assert [doc.user_data["document_id"] for doc in docs] == ["a", "c"]
    (error,) = dropped.errors
    assert "bad.spacy, Doc 2 of 3" in error and "start 5 and end 8" in error


@pytest.mark.parametrize("format", TEXTS)
def test_one_bad_document_of_a_file_is_left_out(tmp_path: Path, format: str) -> None:
    whole = [TEXTS[format].format(name) for name in "abcd"]
    damage = {"conll": ("her - (1)", "her - 2)"), "jsonl": ("[2, 2]", "[2, 9]")}
    whole[1] = whole[1].replace(*damage.get(format, ("e1-p-1-)\n\n", "e1-p-1-\n\n")))
    path = tmp_path / f"bad.{format}"
    path.write_text("".join(whole), encoding="utf8")
    with pytest.raises(ValueError, match=f"bad.{format}.*line"):
        list(read_coref(path))
    dropped = Dropped(skip_errors=True)
    docs = list(read_coref(path, dropped=dropped))
    assert [doc.user_data["document_id"] for doc in docs] == ["a", "c", "d"]
    assert len(dropped.errors) == 1 and f"bad.{format}" in dropped.errors[0]


def test_only_documents_without_an_end_are_left_out(tmp_path: Path) -> None:
    whole = [CONLL.format(name) for name in "abcd"]
    whole[1] = whole[1].replace("#end document\n", "")
    whole[3] = whole[3].replace("#end document\n", "")
    (tmp_path / "bad.conll").write_text("stray\n".join(whole), encoding="utf8")
    dropped = Dropped(skip_errors=True)
    docs = list(read_coref(tmp_path / "bad.conll", dropped=dropped))
    assert [doc.user_data["document_id"] for doc in docs] == ["a", "c"]
    assert len(dropped.errors) == 4  # two words outside a document


@pytest.mark.parametrize(
    "text, match",
    [
        (CONLLU.format("a").replace("2\tsaw\t_", "2\tsaw"), "line 5 has 9 columns, not 10"),
        (CONLLU.format("a").replace("1\tAnna", "x\tAnna"), "sentence from line 1 on.*'x'"),
        (CONLLU.format("a") + CONLLU.format("b").replace("1-2", "1-y"), "sentence from line 9 on"),
        (CONLLU.format("a").replace("1-2", "7-9"), "from line 1 on"),
        (CONLLU.format("a").replace("2.1\t", "2.x\t"), "from line 1 on"),
        (CONLLU.format("a").replace("Entity=(e1-p-1-)", "Entity=e1"), "'e1' at 1#1 have no valid"),
        ("# json_x = {\n" + CONLLU.format("a"), "from line 1 on"),
    ],
)
def test_damaged_conllu_names_file_and_line(tmp_path: Path, text: str, match: str) -> None:
    pytest.importorskip("udapi")
    path = tmp_path / "bad.conllu"
    path.write_text(text, encoding="utf8")
    with pytest.raises(ValueError, match=f"bad.conllu.*{match}"):
        list(read_coref(path))


@pytest.mark.parametrize(
    "change, match",
    [
        (('"a"', "[1]"), "a list under 'doc_key'"),
        (("[0, 0]", "[true, 0]"), "as a mention"),
        (("[0, 0]", "[0, " + "9" * 5000 + "]"), "this is not JSON"),
    ],
)
def test_damaged_json_names_file_and_line(tmp_path: Path, change: list[str], match: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(JSON.format("a").replace(*change), encoding="utf8")
    with pytest.raises(ValueError, match=f"bad.jsonl, line 1.*{match}"):
        list(read_coref(path))


def test_names_that_are_valid_in_json_only(tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_text(JSON.format("\\ud800") + JSON.replace('"{0}"', "null").format(), "utf8")
    write_coref(read_coref(path), tmp_path / "out.spacy")
    first, second = read_coref(tmp_path / "out.spacy")
    assert first.user_data["document_id"] == "\ufffd" and "document_id" not in second.user_data


def mutated(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.choice([1, 2, 4])):
        at = draw.randrange(len(changed))
        changed[at : at + draw.choice([0, 1, 9])] = draw.randbytes(draw.choice([0, 1, 5]))
    return bytes(changed)


@pytest.mark.parametrize("format", ["spacy", *TEXTS])
def test_damage_raises_value_errors_only(tmp_path: Path, format: str) -> None:
    draw = random.Random(0)
    if format == "conllu":
        pytest.importorskip("udapi")
    if format == "spacy":
        data = srsly.msgpack_dumps(unpacked())
    else:
        data = "".join(TEXTS[format].format(name) for name in "abc").encode("utf8")
    path = tmp_path / f"bad.{format}"
    for _ in range(100):
        damaged = mutated(data, draw)
        path.write_bytes(zlib.compress(damaged) if format == "spacy" else damaged)
        try:
            write_coref(read_coref(path), tmp_path / "out.conll")
        except ValueError as error:
            assert type(error) is ValueError and str(path) in str(error)
        write_coref(read_coref(path, dropped=Dropped(skip_errors=True)), tmp_path / "out.spacy")
