"""`token._.elmo` and `span._.elmo`, `repr` of a component and `dir` of the package."""

import subprocess
import sys

import pytest
import spacy
from numpy.testing import assert_array_equal
from spacy.tokens import Doc, Token

import spacy_elmo
from spacy_elmo.pipeline.underscore import install_getters

from ..pipelines import blank, pipeline


@pytest.fixture(scope="module")
def doc():
    return pipeline()("Ann saw the old town .")


def test_tokens_and_spans_have_the_layers_of_the_doc(doc):
    for token in doc:
        assert token._.elmo.shape == (3, 12)
        assert_array_equal(token._.elmo, doc._.elmo[:, token.i])
    for start, end in ((0, 6), (2, 5), (3, 3)):
        assert doc[start:end]._.elmo.shape == (3, end - start, 12)
        assert_array_equal(doc[start:end]._.elmo, doc._.elmo[:, start:end])
    assert_array_equal(doc[2:5][1]._.elmo, doc._.elmo[:, 3])


@pytest.mark.parametrize("elmo", [{"store_layers": False}, {}])
def test_no_layers_of_tokens_and_spans_if_the_doc_has_none(elmo):
    nlp = pipeline(elmo=elmo)
    doc = nlp.make_doc("Ann saw") if not elmo else nlp("Ann saw")
    assert doc._.elmo is None and doc[0]._.elmo is None and doc[0:2]._.elmo is None


def test_span_of_an_empty_doc():
    doc = pipeline()("")
    assert doc[0:0]._.elmo.shape == (3, 0, 12)


def test_layers_of_tokens_and_spans_survive_bytes(doc):
    again = Doc(doc.vocab).from_bytes(doc.to_bytes())
    assert_array_equal(again[1]._.elmo, doc[1]._.elmo)
    assert_array_equal(again[1:3]._.elmo, doc[1:3]._.elmo)


def test_an_extension_of_another_package_is_not_replaced():
    former = Token.remove_extension("elmo")
    try:
        Token.set_extension("elmo", default="mine")
        install_getters()
        assert spacy.blank("en")("Ann")[0]._.elmo == "mine"
    finally:
        Token.remove_extension("elmo")
        Token.set_extension("elmo", getter=former[2])


def test_the_extensions_are_in_the_analysis_of_the_pipeline():
    analysis = blank().analyze_pipes()
    assert {"token._.elmo", "span._.elmo"} <= set(analysis["summary"]["elmo"]["assigns"])


def test_repr_names_sizes_and_settings():
    nlp = blank(elmo={"model": {"precision": "bfloat16"}})
    elmo = nlp.get_pipe("elmo")
    assert repr(elmo) == "<Elmo 'elmo': width 12, depth 2, no weights yet, frozen, bfloat16>"
    nlp.initialize()
    nlp.rename_pipe("elmo", "layers")
    elmo.frozen = False
    n_parameters = elmo.model.shims[0].module.n_parameters
    expected = f"width 12, depth 2, {n_parameters:,} parameters, trained, bfloat16"
    assert repr(elmo) == f"<Elmo 'layers': {expected}>"


def test_dir_shows_the_public_names_without_importing_them():
    assert set(spacy_elmo.__all__) <= set(dir(spacy_elmo))
    assert all(hasattr(spacy_elmo, name) for name in dir(spacy_elmo))
    code = "import sys, spacy_elmo; dir(spacy_elmo); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
