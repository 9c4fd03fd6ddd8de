"""The language of a biLM is saved with it, and a pipeline of another language warns once."""

import json
import warnings

import pytest
import spacy

from spacy_elmo import load_bilm, save_bilm
from spacy_elmo.cli.info import info
from spacy_elmo.pretrain.start import make_model
from spacy_elmo.weights import store
from spacy_elmo.weights.formats import PRETRAINED

from ..cli.conftest import run
from ..pipelines import LISTENER, WIDTH, add_elmo
from ..pretrain import toys
from ..samples import tiny_bilm

SIZES = {"width": WIDTH, "depth": 2}


def saved(folder, *languages):
    bilm = tiny_bilm()
    bilm.languages = languages
    save_bilm(bilm, folder)
    return {"@misc": "spacy-elmo.PretrainedLoader.v1", "path": str(folder)}


def messages(action):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        action()
    return [str(one.message) for one in found if "was trained on text in" in str(one.message)]


CASES = [
    (("en",), "en", False),
    (("en",), "de", True),
    (("en",), "xx", True),
    (("en", "de"), "de", False),
    (("en", "de"), "fr", True),
    (("xx",), "de", False),
    ((), "de", False),
]


@pytest.mark.slow
@pytest.mark.parametrize("languages, lang, warned", CASES)
def test_a_pipeline_of_another_language_warns_once(languages, lang, warned, tmp_path):
    loader = saved(tmp_path / "bilm", *languages)

    def use():
        nlp = spacy.blank(lang)
        elmo = nlp.add_pipe("elmo", config={"model": SIZES, "loader": loader})
        elmo.initialize()
        for _ in range(3):
            nlp("eins zwei")
            list(nlp.pipe(["drei", "vier"]))

    found = messages(use)
    assert len(found) == warned
    assert all(f"is '{lang}'" in text and "'en'" in text for text in found)


def test_the_packaged_model_is_english():
    assert load_bilm().languages == ("en",)
    nlp = spacy.blank("de")
    elmo = nlp.add_pipe("elmo")
    assert len(messages(elmo.initialize)) == 1
    assert messages(lambda: nlp("eins")) == []


def inline(nlp, loader):
    encoder = {"@architectures": "spacy-elmo.BiLM.v1", **SIZES}
    return {"@architectures": "spacy-elmo.Tok2VecElmo.v1", "elmo": encoder, "loader": loader}


def test_a_bilm_within_another_component(tmp_path):
    loader = saved(tmp_path / "bilm", "en")

    def use():
        nlp = spacy.blank("de")
        model = {"@architectures": "spacy.Tagger.v2", "tok2vec": inline(nlp, loader)}
        nlp.add_pipe("tagger", config={"model": model}).add_label("X")
        nlp.initialize()
        nlp("eins zwei")

    assert len(messages(use)) == 1


def test_saved_sourced_and_replaced(tmp_path):
    loader = saved(tmp_path / "bilm", "en")
    english = spacy.blank("en")
    english.add_pipe("elmo", config={"model": SIZES, "loader": loader})
    tagger = {"@architectures": "spacy.Tagger.v2", "tok2vec": LISTENER}
    english.add_pipe("tagger", config={"model": tagger}).add_label("X")

    def use_english():
        english.initialize()
        english("one two")
        english.to_disk(tmp_path / "nlp")
        spacy.load(tmp_path / "nlp")("one two")

    assert messages(use_english) == []
    german = spacy.blank("de")
    german.add_pipe("elmo", source=english)
    assert len(messages(lambda: german("eins"))) == 1
    german.to_disk(tmp_path / "german")
    assert len(messages(lambda: spacy.load(tmp_path / "german")("eins"))) == 1
    english = spacy.load(tmp_path / "nlp")
    english.replace_listeners("elmo", "tagger", ["model.tok2vec"])
    german = spacy.blank("de")
    german.add_pipe("tagger", source=english)
    assert len(messages(lambda: german("eins"))) == 1


def test_formats_without_a_language_give_no_warning(tmp_path):
    save_bilm(tiny_bilm(), tmp_path / "w.hdf5")
    assert "languages" not in json.loads((tmp_path / "w_options.json").read_text("utf8"))
    assert load_bilm(tmp_path / "w.hdf5").languages == ()
    nlp = spacy.blank("de")
    add_elmo(nlp)
    assert messages(nlp.initialize) == []


@pytest.mark.parametrize("languages", [(), ("en",), ("en", "de"), ("xx",)])
def test_convert_keeps_the_languages_and_info_prints_them(languages, tmp_path):
    saved(tmp_path / "bilm", *languages)
    run("convert", tmp_path / "bilm", tmp_path / "copy")
    run("convert", tmp_path / "copy", tmp_path / "w.hdf5")
    run("convert", tmp_path / "w.hdf5", tmp_path / "back", "--half")
    for name in ("copy", "w.hdf5", "back"):
        assert load_bilm(tmp_path / name).languages == languages
    assert store.from_bytes(store.to_bytes(load_bilm(tmp_path / "back"))).languages == languages
    assert info(str(tmp_path / "copy"))["languages"] == list(languages)
    assert f"Languages {', '.join(languages) or 'not recorded'}" in run("info", tmp_path / "copy")


def test_directories_of_older_versions_are_read(tmp_path):
    saved(tmp_path / "bilm")
    assert "languages" not in json.loads((tmp_path / "bilm" / "config.json").read_text("utf8"))
    assert load_bilm(tmp_path / "bilm").languages == ()


@pytest.mark.parametrize("value", ["en", [1], {"en": 1}, None, 3])
@pytest.mark.parametrize("name", ["bilm", "w.hdf5"])
def test_a_field_of_another_type_is_refused(name, value, tmp_path):
    bilm = tiny_bilm()
    save_bilm(bilm, tmp_path / name)
    (file,) = [*tmp_path.rglob("*.json")]
    values = {**json.loads(file.read_text("utf8")), "languages": value}
    # as if it was written without digests
    kept = {key: value for key, value in values.items() if key not in ("digest", "files")}
    file.write_text(json.dumps(kept))
    options_file = file if name == "w.hdf5" else None
    with pytest.raises(ValueError, match="must be a list of language codes"):
        load_bilm(tmp_path / name, options_file)


def test_pretraining_records_the_language(tmp_path):
    toys.write_text(tmp_path)
    toys.pretraining(toys.config(tmp_path, text={"lang": "de"}), tmp_path / "out").run()
    for name in ("model-best", "model-last"):
        assert load_bilm(tmp_path / "out" / name).languages == ("de",)
    # a pretraining that starts from it records both languages
    blocks = toys.values(tmp_path, text={"lang": "nl"})
    del blocks["model"]
    for vocab in ({"min_count": 1}, {"min_count": 2}):
        blocks = {**blocks, "vocab": vocab, "init": {"path": str(tmp_path / "out" / "model-best")}}
        config = toys.PretrainConfig.from_dict(blocks)
        corpus = toys.pretraining(toys.config(tmp_path), tmp_path / "other").corpus
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert make_model(config, corpus).bilm.languages == ("de", "nl")


def test_commands_that_tokenize(tmp_path):
    (tmp_path / "t.txt").write_text("eins zwei\n", encoding="utf8")
    saved(tmp_path / "bilm", "en")

    def embed(*options):
        command = ("embed", tmp_path / "t.txt", tmp_path / "v.npz", "--force", *options)
        return messages(lambda: run(*command, "--model", tmp_path / "bilm"))

    assert len(embed("--lang", "de")) == 1
    assert embed("--lang", "en") == embed("--lang", "de", "--tokenized") == []


def test_the_card_of_the_packaged_model_names_the_language():
    assert "`en`" in (PRETRAINED / "en_small" / "README.md").read_text("utf8")
