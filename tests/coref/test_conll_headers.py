"""CoNLL files of other programs: headers, names, and columns that differ from CoNLL-2012."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from spacy.vocab import Vocab

from spacy_elmo.coref.clusters import get_clusters
from spacy_elmo.coref.formats import CorefDocument, Dropped, read_coref, write_coref
from spacy_elmo.coref.formats.conll import read_conll, read_header
from spacy_elmo.coref.formats.dropped import REPEATED

ROWS = "{0} 0 0 Anna (1)\n{0} 0 1 saw -\n\n{0} 0 0 her (1)\n\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("headers")


def read(folder: Path, text: str) -> list[CorefDocument]:
    path = folder / "text.conll"
    path.write_bytes(text.encode("utf8"))
    return list(read_conll(path))


@pytest.mark.parametrize(
    "line, expected",
    [
        ("#begin document (a); part 000", ("a", "000")),
        ("# begin  document (a/b_1) ;  part 7 ", ("a/b_1", "7")),
        ("#begin document (a);", ("a", "")),
        ("#begin document (a)", ("a", "")),
        ("#begin document a;", ("a", "")),
        ("#begin document a", ("a", "")),
        ("#begin document a; part 1", ("a", "1")),
        ("#begin document (a;);", ("a;", "")),
        ("#begin document (a (b)); part 0", ("a (b)", "0")),
        ("#begin document (x; part 9); part 0", ("x; part 9", "0")),
        ("#begin document (#12); part 000", ("#12", "000")),
        ("#begin document ()", ("", "")),
        ("#begin document", ("", "")),
        ("#begin document" + " " * 100_000 + "a", ("a", "")),
    ],
)
def test_headers(line: str, expected: object) -> None:
    assert read_header(line) == expected


NAMES = st.text(st.characters(exclude_categories=["C"]) | st.sampled_from("#();/ _-0"), min_size=1)


@given(
    names=st.lists(NAMES, min_size=1, max_size=4, unique=True), part=st.sampled_from(["", "000"])
)
@example(names=["#12", "# 12", "#begin document", "a b", "(a", ");", "x; part 1", "-"], part="")
def test_any_name_survives_a_round_trip(folder: Path, names: list[str], part: str) -> None:
    found = [
        CorefDocument(["Anna", "#", "her"], [[(0, 1), (2, 3)]], [True, True, False], name=name)
        for name in names
    ]
    for document in found:
        document.part = part
    path, again = folder / "names.jsonl", folder / "names.conll"
    write_coref((document.to_doc(Vocab()) for document in found), again)
    headers = [line for line in again.read_text("utf8").split("\n") if line.startswith("#begin d")]
    ending = f"; part {part}" if part else ";"
    assert headers == [f"#begin document ({name}){ending}" for name in names]
    for _ in range(2):  # round trip through JSON
        docs = list(read_coref(again))
        assert [doc.user_data["document_id"] for doc in docs] == names
        assert [[token.text for token in doc] for doc in docs] == [["Anna", "#", "her"]] * len(
            names
        )
        assert [get_clusters(doc) for doc in docs] == [[[(0, 1), (2, 3)]]] * len(names)
        write_coref(docs, path)
        text = again.read_text("utf8")
        write_coref(read_coref(path), again)
        assert again.read_text("utf8") == text


@pytest.mark.parametrize("name", ["#12", "# 12", "my doc", "#my doc", "12"])
def test_rows_with_spaces_between_columns_begin_with_any_name(folder: Path, name: str) -> None:
    text = f"#begin document ({name}); part 000\n# a comment\n{ROWS.format(name)}#end document\n"
    (document,) = read(folder, text)
    assert (document.name, document.words) == (name, ["Anna", "saw", "her"])
    assert document.clusters == [[(0, 1), (2, 3)]]


@pytest.mark.parametrize(
    "rows, match",
    [
        # SemEval-2010
        (
            "1\tAnna\tanna\tanna\tN\tN\t_\t_\t2\t2\tS\tS\t_\t_\t_\t_\t(1)\n",
            "line 2.*'anna'.*SemEval",
        ),
        ("1 Anna anna anna N N _ _ 2 2 S S _ _ _ _ (1)\n", "line 2.*'anna'.*SemEval"),
        ("1\tAnna\t_\t_\tN\t(1)\n", "line 2.*'_' in the third column"),
        # words first, as in CoNLL-2003
        ("Anna NNP B-NP O -\n", "'B-NP' in the third column"),
        # a word that contains a space
        ("a 0 0 New York - (1)\na 0 1 is - -\n", "line 3 has 6 columns.*has 7"),
        ("a 0 0 it - -\na 0 1 New York - (1)\n", "line 3 has 7 columns.*has 6"),
        # no column with coreference
        ("a 0 0 Anna NNP (PERSON)\na 0 1 saw VBD *\n", "line 3.*'[*]' cannot be read"),
        ("a 0 0 Anna NNP (PERSON*\n", "cannot be read.*no coreference"),
        ("a 0 0 Anna NNP |\n", "cannot be read"),
        # a row in the form of a comment
        ("#a 0 0 Anna (1)\n", "line 2 begins with '#'.*'a' in the first column"),
        ("# 12 0 Anna (1)\n", "line 2 begins with '#'"),
    ],
)
def test_other_columns_are_errors(folder: Path, rows: str, match: str) -> None:
    with pytest.raises(ValueError, match=f"text.conll.*{match}"):
        read(folder, f"#begin document (a); part 000\n{rows}\n#end document\n")


def test_line_ends_byte_order_marks_and_blank_lines(folder: Path) -> None:
    text = f"#begin document (a);\n\n\n{ROWS.format('a')}\n#end document\n"
    for changed in (text, text.replace("\n", "\r\n"), "\ufeff" + text, text.replace(" ", "\t")):
        changed = changed.replace("#begin\tdocument\t", "#begin document ")
        (document,) = read(folder, changed.replace("#end\tdocument", "#end document"))
        assert document.words == ["Anna", "saw", "her"]
        assert document.sent_starts == [True, False, True]


def test_documents_with_the_same_name_and_part_are_counted(folder: Path) -> None:
    document = f"#begin document (a); part 000\n{ROWS.format('a')}#end document\n"
    (folder / "twice.conll").write_text(document * 2, encoding="utf8")
    dropped = Dropped()
    write_coref(read_coref(folder / "twice.conll"), folder / "out.conll", dropped=dropped)
    assert dict(dropped.rows()) == {REPEATED: 1}
    headers = (folder / "out.conll").read_text("utf8").count("#begin document (a); part 000\n")
    assert headers == 2
