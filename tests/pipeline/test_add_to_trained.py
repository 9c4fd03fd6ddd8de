"""Adding `elmo` to a trained pipeline, and the loaders of its weights."""

import pytest
import spacy
from numpy.testing import assert_allclose, assert_array_equal
from spacy.lookups import Lookups

from spacy_elmo import load_bilm, save_bilm

from ..pipelines import WIDTH, add_elmo, bilm_of, examples, make_tiny_loader, randomize
from ..samples import tiny_bilm

pytestmark = pytest.mark.slow

SIZES = {"width": WIDTH, "depth": 2}
TINY = {"@misc": "spacy-elmo-tests.TinyBiLM.v1"}
TEXT = "Ann saw Rome ."


def trained():
    """Return a pipeline with a tagger, and a lemmatizer whose tables `nlp.initialize` would read
    from disk."""
    nlp = spacy.blank("en")
    nlp.add_pipe("tagger")
    nlp.initialize(lambda: examples(nlp))
    randomize(nlp, ["tagger"])
    lemmatizer = nlp.add_pipe("lemmatizer", config={"mode": "lookup"})
    lookups = Lookups()
    lookups.add_table("lemma_lookup", {"saw": "see"})
    lemmatizer.initialize(lambda: examples(nlp), nlp=nlp, lookups=lookups)
    return nlp


def annotations(nlp):
    return [(token.tag_, token.lemma_) for token in nlp(TEXT)]


def layers_of(seed):
    nlp = spacy.blank("en")
    add_elmo(nlp, seed=seed)
    nlp.initialize()
    return nlp(TEXT)._.elmo


@pytest.mark.parametrize("place", [{"first": True}, {"last": True}], ids=str)
def test_initialize_of_the_component_alone(place):
    nlp = trained()
    expected = annotations(nlp)
    elmo = nlp.add_pipe("elmo", **place)
    elmo.initialize()
    assert annotations(nlp) == expected
    packaged = load_bilm().state_dict()
    for name, values in bilm_of(elmo).state_dict().items():
        assert_array_equal(values, packaged[name])
    assert nlp(TEXT)._.elmo.shape == (3, 4, 512)


def test_the_error_without_weights_names_the_method_that_resets_nothing():
    nlp = trained()
    nlp.add_pipe("elmo", first=True)
    with pytest.raises(ValueError, match=r'reset.*nlp.get_pipe\("elmo"\).initialize\(\)'):
        nlp(TEXT)


def test_loader_in_the_config_of_add_pipe(tmp_path):
    save_bilm(tiny_bilm(3), tmp_path / "tiny")
    loader = {"@misc": "spacy-elmo.PretrainedLoader.v1", "path": str(tmp_path / "tiny")}
    nlp = trained()
    expected = annotations(nlp)
    elmo = nlp.add_pipe("elmo", config={"model": SIZES, "loader": loader}, first=True)
    elmo.initialize()
    assert_allclose(nlp(TEXT)._.elmo, layers_of(3), atol=1e-6)
    assert annotations(nlp) == expected
    nlp.to_disk(tmp_path / "nlp")
    for file in (tmp_path / "tiny").iterdir():
        file.unlink()
    (tmp_path / "tiny").rmdir()
    loaded = spacy.load(tmp_path / "nlp")
    assert_array_equal(loaded(TEXT)._.elmo, nlp(TEXT)._.elmo)
    assert annotations(loaded) == expected
    with pytest.raises(ValueError, match="tiny"):
        loaded.get_pipe("elmo").initialize()


def test_loader_opens_no_file_before_it_is_called(tmp_path):
    loader = {"@misc": "spacy-elmo.PretrainedLoader.v1", "path": str(tmp_path / "nothing")}
    nlp = spacy.blank("en")
    elmo = nlp.add_pipe("elmo", config={"model": SIZES, "loader": loader})
    spacy.util.load_model_from_config(nlp.config)
    with pytest.raises(ValueError, match="nothing"):
        elmo.initialize()


def call_nlp_initialize(nlp):
    nlp.initialize()


def call_own_initialize(nlp):
    nlp.get_pipe("elmo").initialize()


@pytest.mark.parametrize("initialize", [call_nlp_initialize, call_own_initialize])
def test_order_of_precedence_of_loaders(initialize):
    """The argument has precedence over [initialize.components], which has precedence over the
    component's config."""
    nlp = spacy.blank("en")
    nlp.add_pipe("elmo", config={"model": SIZES, "loader": {**TINY, "seed": 1}})
    initialize(nlp)
    assert_allclose(nlp(TEXT)._.elmo, layers_of(1), atol=1e-6)
    nlp.config["initialize"]["components"]["elmo"] = {"loader": {**TINY, "seed": 2}}
    initialize(nlp)
    assert_allclose(nlp(TEXT)._.elmo, layers_of(2), atol=1e-6)
    nlp.get_pipe("elmo").initialize(loader=make_tiny_loader(3))
    assert_allclose(nlp(TEXT)._.elmo, layers_of(3), atol=1e-6)


def test_a_loader_of_a_bilm_with_other_sizes_is_an_error():
    nlp = spacy.blank("en")
    elmo = nlp.add_pipe("elmo", config={"loader": TINY})
    with pytest.raises(ValueError, match="width 12 and depth 2.*width = 512"):
        elmo.initialize()


def test_a_sourced_component_loads_its_own_weights():
    source = spacy.blank("en")
    source.add_pipe("elmo", config={"model": SIZES, "loader": {**TINY, "seed": 1}})
    nlp = trained()
    expected = annotations(nlp)
    elmo = nlp.add_pipe("elmo", source=source, first=True)
    elmo.initialize()
    assert_allclose(nlp(TEXT)._.elmo, layers_of(1), atol=1e-6)
    assert annotations(nlp) == expected
