import json
from pathlib import Path

import pytest
import spacy
from spacy.tokens import DocBin

from spacy_elmo.senses.convert import convert_senses

from .conftest import run

TEXT = "They sat on the bank. The bank pays."
SPANS = [
    {"start": 16, "end": 20, "label": "bank%river"},
    {"start": 26, "end": 30, "label": "bank%money"},
    {"start": 26, "end": 29, "label": "ban%order"},
]


def write(path: Path, *records: object) -> Path:
    path.write_text("\n".join(json.dumps(record) for record in records), encoding="utf8")
    return path


def test_json_lines_become_docs(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", {"text": TEXT, "spans": SPANS}, {"text": "", "spans": []})
    printed = run("convert-senses", source, tmp_path / "a.spacy", "--spans-key", "wn")
    assert "documents 2 spans 2 senses 2 misaligned 1" in printed
    assert "Left out 1 spans that do not begin and end with a token" in printed
    first, second = DocBin().from_disk(tmp_path / "a.spacy").get_docs(spacy.blank("en").vocab)
    found = [(span.start, span.end, span.label_) for span in first.spans["wn"]]
    assert found == [(4, 5, "bank%river"), (7, 8, "bank%money")]
    # a text without senses is annotated, too
    assert list(second.spans["wn"]) == [] and first.text == TEXT


@pytest.mark.parametrize(
    "record, message",
    [
        ([], "line 2 has no 'text'"),
        ({"text": 3, "spans": []}, "line 2 has no 'text'"),
        ({"text": "bank"}, "line 2 has no list of 'spans'"),
        ({"text": "bank", "spans": [3]}, "line 2 has the span 3"),
        ({"text": "bank", "spans": [{"start": True, "end": 4, "label": "bank%a"}]}, "has the span"),
        ({"text": "bank", "spans": [{"start": 0, "end": 5, "label": "bank%a"}]}, "4 characters"),
        ({"text": "bank", "spans": [{"start": 0, "end": 4, "label": "river"}]}, "'river' is not"),
    ],
)
def test_lines_of_another_form_are_errors(tmp_path: Path, record: object, message: str) -> None:
    source = write(tmp_path / "a.jsonl", {"text": TEXT, "spans": SPANS}, record)
    with pytest.raises(ValueError, match=message):
        convert_senses([source], tmp_path / "a.spacy")
    assert not (tmp_path / "a.spacy").exists()


def test_what_is_not_json_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{", encoding="utf8")
    with pytest.raises(ValueError, match="a.jsonl, line 1 is not JSON"):
        convert_senses([tmp_path / "a.jsonl"], tmp_path / "a.spacy")


def test_an_existing_output_is_preserved(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", {"text": TEXT, "spans": SPANS})
    with pytest.raises(ValueError, match="must end in .spacy"):
        convert_senses([source], tmp_path / "a.json")
    convert_senses([source], tmp_path / "a.spacy")
    with pytest.raises(ValueError, match="exists.*--force"):
        convert_senses([source], tmp_path / "a.spacy")
    convert_senses([source], tmp_path / "a.spacy", force=True)
