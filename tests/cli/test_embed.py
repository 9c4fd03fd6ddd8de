from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import Doc, DocBin

from spacy_elmo import ElmoEmbedder
from spacy_elmo.bilm.batch import WordBatch
from spacy_elmo.embed import inputs as embed_inputs
from spacy_elmo.text.segments import PunctSegments, segment_docs

from ..samples import SENTENCES, tiny_bilm
from .conftest import run

pytestmark = pytest.mark.slow

TEXT = (
    "The bank was green. He went there to borrow “money”, and\nthe clerk said no!\n"
    "\n  \nWhy?  Nobody knew.\r\n\r\nA paragraph without an end\n"
)
TOKENS = [
    "The bank was green .",
    "He went there to borrow “ money ” , and the clerk said no !",
    "Why ?",
    "Nobody knew .",
    "A paragraph without an end",
]


def write(path: Path, content: Any) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf8"))
    return path


def read_all(path: Path) -> list[np.ndarray]:
    with h5py.File(path) as file:
        assert set(file) == {str(i) for i in range(len(file))}
        return [file[str(i)][...] for i in range(len(file))]


def read_tokens(path: Path) -> list[list[str]]:
    text = path.with_name(path.name + ".tokens.txt").read_text(encoding="utf8")
    assert not text or text.endswith("\n")
    return [line.split() for line in text.split("\n")[:-1]]


def check(path: Path, model: Path, sentences: list[list[str]]) -> None:
    assert read_tokens(path) == sentences
    found = read_all(path)
    expected = ElmoEmbedder(weight_file=model).embed_batch(sentences)
    assert len(found) == len(expected)
    for array, wanted in zip(found, expected):
        assert array.dtype == np.float32
        assert array.shape == wanted.shape
        np.testing.assert_allclose(array, wanted, atol=1e-6)


def test_text_is_tokenized_and_segmented(tmp_path: Path, model: Path) -> None:
    source, output = write(tmp_path / "a.txt", TEXT), tmp_path / "out.hdf5"
    printed = run("embed", source, output, "--model", model)
    check(output, model, [line.split() for line in TOKENS])
    assert "5 datasets" in printed
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a.txt",
        output.name,
        f"{output.name}.tokens.txt",
    ]


def test_text_has_the_vectors_of_the_pipeline(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "\n\n".join(f"Number {i} came, they said. “Who?” asked {i + 1}." for i in range(300))
    output = tmp_path / "out.hdf5"
    # many chunks, whose ends must not change the vectors
    monkeypatch.setattr(embed_inputs, "CHUNK_BYTES", 1000)
    run("embed", write(tmp_path / "a.txt", text), output, "-m", model, "--part-tokens", 700)
    nlp = spacy.blank("en")
    doc = nlp(text)
    segmented = segment_docs([doc], PunctSegments())
    with torch.no_grad():
        expected = tiny_bilm()(segmented.batch).numpy()
    found = read_all(output)
    assert [array.shape[1] for array in found] == segmented.batch.lengths.tolist()
    np.testing.assert_allclose(np.concatenate(found, axis=1), expected, atol=1e-6)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_tokenized_lines_keep_their_numbers(tmp_path: Path, model: Path, ending: str) -> None:
    lines = ["", *(" ".join(s) for s in SENTENCES), "", "", "  two  spaces "]
    output = tmp_path / "out.hdf5"
    source = write(tmp_path / "a.txt", ending.join(lines) + ending)
    run("embed", source, output, "-m", model, "--tokenized")
    check(output, model, [line.split() for line in lines])
    assert read_all(output)[0].shape == (3, 0, 12)


def test_tokenized_lines_are_numbered_across_files(tmp_path: Path, model: Path) -> None:
    first, second = write(tmp_path / "b", "One two\n\nthree"), write(tmp_path / "a", "four\n")
    output = tmp_path / "out.hdf5"
    run("embed", first, second, output, "-m", model, "-t")
    check(output, model, [["One", "two"], [], ["three"], ["four"]])


def test_long_lines_are_not_split(tmp_path: Path, model: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(embed_inputs, "CHUNK_BYTES", 16)
    output = tmp_path / "out.hdf5"
    lines = ["a b", "word " * 30, "", "c"]
    run("embed", write(tmp_path / "a.txt", "\n".join(lines)), output, "-m", model, "-t")
    assert read_tokens(output) == [line.split() for line in lines]


def test_docs_are_one_dataset_each(tmp_path: Path, model: Path) -> None:
    nlp = spacy.blank("en")
    docs = [
        nlp("He went. \n\n She  stayed."),
        Doc(nlp.vocab),
        nlp("  "),
        Doc(nlp.vocab, words=["New York", "rose", "."]),
    ]
    for name, some in (("a", docs[:3]), ("b", docs[3:])):
        DocBin(docs=some).to_disk(tmp_path / f"{name}.spacy")
    output = tmp_path / "out.hdf5"
    run("embed", tmp_path, output, "-m", model)
    assert read_tokens(output) == [
        [
            "He",
            "went",
            ".",
            "␣␣␣" if docs[0][3].text == "\n\n " else "␣␣",
            "She",
            "␣",
            "stayed",
            ".",
        ],
        [],
        ["␣␣"],
        ["New␣York", "rose", "."],
    ]
    for array, doc in zip(read_all(output), docs, strict=True):
        assert array.shape == (3, len(doc), 12)
        segmented = segment_docs([doc], PunctSegments())
        expected = np.zeros_like(array)
        with torch.no_grad():
            expected[:, segmented.rows] = tiny_bilm()(segmented.batch).numpy()
        np.testing.assert_allclose(array, expected, atol=1e-6)


@pytest.mark.parametrize("layers,of", [("top", lambda x: x[-1]), ("average", lambda x: x.mean(0))])
def test_one_layer_has_no_layer_axis(tmp_path: Path, model: Path, layers: str, of: Any) -> None:
    source, output = write(tmp_path / "a.txt", "One two .\n\nThree\n"), tmp_path / "out.hdf5"
    run("embed", source, output, "-m", model, "-t", "--layers", layers)
    expected = ElmoEmbedder(weight_file=model).embed_batch([["One", "two", "."], [], ["Three"]])
    for array, wanted in zip(read_all(output), expected, strict=True):
        assert array.shape == wanted.shape[1:]
        np.testing.assert_allclose(array, of(wanted), atol=1e-6)


def test_npz_and_hdf5_hold_the_same_vectors(tmp_path: Path, model: Path) -> None:
    source = write(tmp_path / "a.txt", TEXT)
    run("embed", source, tmp_path / "out.hdf5", "-m", model)
    run("embed", source, tmp_path / "out.npz", "-m", model)
    expected = read_all(tmp_path / "out.hdf5")
    with np.load(tmp_path / "out.npz") as found:
        assert found.files == [str(i) for i in range(len(expected))]
        for i, array in enumerate(expected):
            np.testing.assert_array_equal(found[str(i)], array)
    tokens = [(tmp_path / f"out.{name}.tokens.txt").read_bytes() for name in ("hdf5", "npz")]
    assert tokens[0] == tokens[1]


def test_start_state_and_precision_are_used(tmp_path: Path, model: Path) -> None:
    source, output = write(tmp_path / "a.txt", "One two ."), tmp_path / "out.hdf5"
    run("embed", source, output, "-m", model, "-t", "--start-state", "zero")
    with torch.no_grad():
        batch = WordBatch.from_sentences([["One", "two", "."]])
        expected = tiny_bilm()(batch, start_state="zero").numpy()
        warm = tiny_bilm()(batch).numpy()
    np.testing.assert_allclose(read_all(output)[0], expected, atol=1e-6)
    assert np.abs(warm - expected).max() > 1e-3
    options = ("-m", model, "-t", "--precision", "bfloat16", "--force")
    run("embed", source, output, *options)
    difference = np.abs(read_all(output)[0] - warm).max()
    assert 1e-6 < difference < 0.1


def test_text_without_whitespace_is_split_between_characters(
    tmp_path: Path, model: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(embed_inputs, "CHUNK_BYTES", 20)
    output = tmp_path / "o.hdf5"
    run("embed", write(tmp_path / "a.txt", "日本語" * 20), output, "-m", model)
    tokens = [token for line in read_tokens(output) for token in line]
    assert "".join(tokens) == "日本語" * 20


@pytest.mark.parametrize("content", ["", "\n \n\n"])
def test_nothing_to_embed(tmp_path: Path, model: Path, content: str) -> None:
    output = tmp_path / "out.hdf5"
    run("embed", write(tmp_path / "a.txt", content), output, "-m", model)
    check(output, model, [])


def test_empty_files_between_others(tmp_path: Path, model: Path) -> None:
    for name, content in (("a", ""), ("b", "One .\n"), ("c", ""), ("d", "Two .\n"), ("e", "")):
        write(tmp_path / f"{name}.txt", content)
    output = tmp_path / "out.hdf5"
    run("embed", tmp_path, output, "-m", model, "--part-tokens", 1)
    check(output, model, [["One", "."], ["Two", "."]])


def test_an_existing_output_is_only_replaced_with_force(tmp_path: Path, model: Path) -> None:
    source, output = write(tmp_path / "a.txt", "One ."), write(tmp_path / "out.hdf5", b"mine")
    printed = run("embed", source, output, "-m", model, code=1)
    assert "--force" in printed
    assert output.read_bytes() == b"mine"
    run("embed", source, output, "-m", model, "--force")
    check(output, model, [["One", "."]])


@pytest.mark.parametrize("name", ["out.hdf5", "out.hdf5.tokens.txt"])
def test_a_directory_is_never_replaced(tmp_path: Path, model: Path, name: str) -> None:
    source = write(tmp_path / "a.txt", "One .")
    (tmp_path / name).mkdir()
    printed = run("embed", source, tmp_path / "out.hdf5", "-m", model, "--force", code=1)
    assert "is a directory" in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", name]


def test_errors_name_the_invalid_argument(tmp_path: Path, model: Path) -> None:
    source, output = write(tmp_path / "a.txt", "One ."), tmp_path / "out.hdf5"
    assert "nowhere" in run("embed", tmp_path / "nowhere", output, "-m", model, code=1)
    assert "out.txt" in run("embed", source, tmp_path / "out.txt", "-m", model, code=1)
    assert "no-model" in run("embed", source, output, "-m", "no-model", code=1)
    assert "GPU" in run("embed", source, output, "-m", model, "-g", 99, code=1)
    (tmp_path / "empty").mkdir()
    assert "no file that ends in .txt" in run(
        "embed", tmp_path / "empty", output, "-m", model, code=1
    )
    assert "DocBin" in run("embed", write(tmp_path / "b.spacy", "x"), output, "-m", model, code=1)
    assert not output.exists()
