"""Detecting the format of a path, and opening archives."""

import zipfile

import numpy as np
import pytest
import torch

from spacy_elmo.weights import formats, load_bilm, save_bilm

from ..reference import random_reference
from ..samples import SENTENCES, tiny_bilm
from .torch_writers import CHARS, allennlp_state, torch_bytes, write_many_langs, write_tar
from .writers import fixture_top_layer, original_options, vectors, write_original

pytestmark = pytest.mark.slow


def write_zip(path, folder, inside=""):
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, inside + str(file.relative_to(folder)))
    return path


def original(folder):
    return write_original(folder, random_reference())


def original_directory(folder):
    return write_original(folder, random_reference()).parent


def original_zip(folder):
    (folder / "in").mkdir()
    write_original(folder / "in", random_reference())
    return write_zip(folder / "144.zip", folder / "in")


def nested_zip(folder):
    (folder / "in").mkdir()
    write_original(folder / "in", random_reference())
    return write_zip(folder / "144.zip", folder / "in", "some/model/")


def state_dict(folder):
    (folder / "best.th").write_bytes(torch_bytes(allennlp_state(random_reference())))
    return folder / "best.th"


def legacy_state_dict(folder):
    (folder / "best").write_bytes(torch_bytes(allennlp_state(random_reference()), legacy=True))
    return folder / "best"


def archive(folder):
    weights = torch_bytes(allennlp_state(random_reference()))
    return write_tar(folder / "model.tar.gz", {"config.json": {}, "weights.th": weights})


def renamed_archive(folder):
    return archive(folder).rename(folder / "model")


def store_directory(folder):
    save_bilm(load_bilm(original(folder)), folder / "out")
    return folder / "out"


def store_zip(folder):
    return write_zip(folder / "model.zip", store_directory(folder))


FORMATS = [original, original_directory, original_zip, nested_zip, state_dict, legacy_state_dict]
FORMATS += [archive, renamed_archive, store_directory, store_zip]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "Path"])
def test_every_format_gives_the_same_model(tmp_path, form, kind):
    (tmp_path / "expected").mkdir()
    expected = load_bilm(original(tmp_path / "expected"))
    bilm = load_bilm(kind(form(tmp_path)))
    assert bilm.options == expected.options
    found = vectors(bilm, SENTENCES)
    np.testing.assert_allclose(found, vectors(expected, SENTENCES), atol=1e-5)


@pytest.mark.parametrize("inside", ["", "179/"])
def test_many_langs_zip_is_read_like_its_directory(tmp_path, inside):
    (tmp_path / "in").mkdir()
    write_many_langs(tmp_path / "in", random_reference(n_chars=len(CHARS)))
    expected = load_bilm(tmp_path / "in")
    bilm = load_bilm(write_zip(tmp_path / "179.zip", tmp_path / "in", inside))
    assert np.array_equal(vectors(bilm, SENTENCES), vectors(expected, SENTENCES))


def test_hidden_files_of_macos_are_ignored(tmp_path):
    path = nested_zip(tmp_path)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("__MACOSX/some/model/._weights.hdf5", b"resource fork")
    assert load_bilm(path).options.hidden_dim == 12


def test_model_hdf5_is_preferred_in_a_directory(tmp_path):
    original(tmp_path).rename(tmp_path / "model.hdf5")
    (tmp_path / "another.hdf5").write_bytes(b"")
    assert load_bilm(tmp_path).options.hidden_dim == 12


def test_options_and_vocabulary_are_passed_to_the_reader(tmp_path):
    path = write_original(
        tmp_path, random_reference(filters=(), n_words=4, word_dim=6, token_projection=False)
    )
    (tmp_path / "elsewhere").mkdir()
    options = (tmp_path / "options.json").rename(tmp_path / "elsewhere" / "o.json")
    vocab = tmp_path / "elsewhere" / "v"
    vocab.write_text("<S>\n</S>\n<UNK>\nthe\n")
    assert load_bilm(path, options, vocab).options.n_words == 4


def test_packaged_model_is_found_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "PRETRAINED", tmp_path)
    save_bilm(tiny_bilm(), tmp_path / "xx_tiny")
    assert torch.equal(load_bilm("xx_tiny").start_h, tiny_bilm().start_h)


@pytest.mark.parametrize("name", ["model.hdf5", "model.h5", "model", "model.v1"])
def test_saved_model_can_be_loaded(tmp_path, name):
    save_bilm(tiny_bilm(), tmp_path / name)
    bilm = load_bilm(tmp_path / name)
    assert np.array_equal(vectors(bilm, SENTENCES), vectors(tiny_bilm(), SENTENCES))


def test_missing_path_names_the_packaged_models(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "PRETRAINED", tmp_path)
    save_bilm(tiny_bilm(), tmp_path / "xx_tiny")
    with pytest.raises(ValueError, match="No file or directory .*gone.*Packaged models: xx_tiny"):
        load_bilm(tmp_path / "gone")


def test_missing_path_is_named_if_no_model_is_packaged(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "PRETRAINED", tmp_path / "none")
    with pytest.raises(ValueError, match="No file or directory .*gone.*Packaged models: none"):
        load_bilm(tmp_path / "gone")


def test_unknown_file_is_refused_with_the_known_formats(tmp_path):
    (tmp_path / "letter.txt").write_text("Dear Ann,")
    with pytest.raises(ValueError, match="letter.txt has no known format.*AllenNLP model.tar.gz"):
        load_bilm(tmp_path / "letter.txt")


def test_empty_directory_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"must hold one .hdf5 or .h5 weight file.*found: none"):
        load_bilm(tmp_path)


def test_zip_without_a_model_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "letter.txt").write_text("Dear Ann,")
    with pytest.raises(ValueError, match="letters.zip holds no biLM; expected"):
        load_bilm(write_zip(tmp_path / "letters.zip", tmp_path / "in"))


def test_error_within_a_zip_names_the_zip(tmp_path):
    (tmp_path / "in").mkdir()
    write_original(
        tmp_path / "in", random_reference(), original_options(random_reference(hidden=7))
    )
    path = write_zip(tmp_path / "144.zip", tmp_path / "in")
    with pytest.raises(ValueError, match=f"^{path}/weights.hdf5: .* shape"):
        load_bilm(path)


def test_fixture_in_a_zip_gives_the_published_vectors(fixtures, tmp_path):
    with zipfile.ZipFile(tmp_path / "200.zip", "w") as file:
        file.write(fixtures / "lm_weights.hdf5", "200/model.hdf5")
        file.write(fixtures / "options.json", "200/options.json")
    found, expected = fixture_top_layer(load_bilm(tmp_path / "200.zip"), fixtures)
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=1e-5)
