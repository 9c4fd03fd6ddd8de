from pathlib import Path

import h5py
import pytest
import torch

from spacy_elmo import load_bilm, save_bilm
from spacy_elmo.corpus.corpus import Corpus
from spacy_elmo.lm.language_model import LanguageModel

from ..pretrain.toys import documents, toy_trainer
from ..samples import tiny_bilm
from .conftest import run


def check_same(path: Path, tolerance: float = 0.0) -> None:
    expected, found = tiny_bilm().state_dict(), load_bilm(path).state_dict()
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == torch.float32
        torch.testing.assert_close(found[name], tensor, rtol=tolerance, atol=tolerance)


def test_to_the_original_format_and_back(tmp_path: Path, model: Path) -> None:
    original, ours = tmp_path / "weights.hdf5", tmp_path / "ours"
    printed = run("convert", model, original)
    written = sorted(path.name for path in tmp_path.iterdir())
    assert len(written) == 2 and "weights.hdf5" in written
    assert f"{original.stat().st_size:,} bytes" in printed
    assert f"{tiny_bilm().n_parameters:,}" in printed
    run("convert", original, ours)
    check_same(ours, 1e-6)  # the start states are recomputed


def test_options_in_another_file(tmp_path: Path, model: Path) -> None:
    run("convert", model, tmp_path / "ours.hdf5")
    # files of other software do not contain the options
    with h5py.File(tmp_path / "ours.hdf5") as file, h5py.File(tmp_path / "weights.hdf5", "w") as to:
        for name in file:
            file.copy(name, to)
    (options,) = tmp_path.glob("*.json")
    moved = options.rename(tmp_path / "moved.txt")
    assert "options" in run("convert", tmp_path / "weights.hdf5", tmp_path / "ours", code=1)
    run("convert", tmp_path / "weights.hdf5", tmp_path / "ours", "--options-file", moved)
    check_same(tmp_path / "ours", 1e-6)


def test_half_precision_halves_the_size(tmp_path: Path, model: Path) -> None:
    run("convert", model, tmp_path / "full")
    run("convert", model, tmp_path / "half", "--half")
    check_same(tmp_path / "full")
    check_same(tmp_path / "half", 1e-3)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("full", "half")]
    assert sizes[1] < 0.8 * sizes[0]
    assert "--half" in run("convert", model, tmp_path / "a.hdf5", "--half", code=1)


def test_mixes_are_kept_or_a_warning_is_printed(tmp_path: Path) -> None:
    from spacy_elmo.bilm.bilm import Mix

    bilm = tiny_bilm()
    bilm.mixes = [Mix((0.5, 0.25, 0.0), 1.5)]
    save_bilm(bilm, tmp_path / "mixed")
    run("convert", tmp_path / "mixed", tmp_path / "copy")
    assert load_bilm(tmp_path / "copy").mixes == bilm.mixes
    assert "left out" in run("convert", tmp_path / "mixed", tmp_path / "a.hdf5")


@pytest.mark.parametrize("name", ["no-model", "empty"])
def test_an_input_without_a_bilm_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    assert name in run("convert", tmp_path / name, tmp_path / "out", code=1)
    assert not (tmp_path / "out").exists()


def test_a_directory_with_other_files_is_not_replaced(tmp_path: Path, model: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("text", encoding="utf8")
    run("convert", model, tmp_path / "mine", code=1)
    assert (tmp_path / "mine" / "a.txt").exists()


def test_a_language_model_keeps_its_softmax(tmp_path: Path) -> None:
    toy_trainer(Corpus.from_sentences(documents(60))).model.save(tmp_path / "model")
    expected = LanguageModel.load(tmp_path / "model")
    run("convert", tmp_path / "model", tmp_path / "copy")
    run("convert", tmp_path / "model", tmp_path / "model", "--half")
    for path in (tmp_path / "copy", tmp_path / "model"):
        found = LanguageModel.load(path)
        assert torch.equal(found.head.weight, expected.head.weight)
        assert found.vocab.words == expected.vocab.words
