import numpy as np
import pytest
import spacy
from numpy.testing import assert_allclose
from thinc.api import Adam

from spacy_elmo.models.architectures import (
    build_bilm_v1,
    build_concat_embed_v1,
    build_tok2vec_elmo_v1,
)
from spacy_elmo.pipeline.listener import build_elmo_listener_v1

from ..pipelines import (
    LISTENER,
    WIDTH,
    bilm_of,
    blank,
    changed,
    examples,
    make_tiny_loader,
    pipeline,
    weights_of,
)

INLINE = {
    "@architectures": "spacy-elmo.Tok2VecElmo.v1",
    "elmo": {"@architectures": "spacy-elmo.BiLM.v1", "width": WIDTH, "depth": 2},
    "loader": {"@misc": "spacy-elmo-tests.TinyBiLM.v1"},
}


def inline_pipeline(**settings):
    nlp = spacy.blank("en")
    tok2vec = {**INLINE, **settings}
    model = {"@architectures": "spacy.Tagger.v2", "tok2vec": tok2vec}
    nlp.add_pipe("tagger", config={"model": model})
    nlp.initialize(lambda: examples(nlp))
    return nlp


def train(nlp, steps=3):
    optimizer = Adam(0.01)
    for _ in range(steps):
        nlp.update(examples(nlp), sgd=optimizer)


def test_inline_model_gives_the_vectors_of_the_component():
    nlp = inline_pipeline()
    docs = [example.predicted for example in examples(nlp)]
    found = nlp.get_pipe("tagger").model.get_ref("tok2vec").predict(docs)
    elmo = pipeline().get_pipe("elmo")
    for vectors, layers in zip(found, elmo.predict(docs).split()):
        assert_allclose(vectors, layers.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("frozen", [True, False])
def test_inline_model_trains_its_mix_and_the_bilm_unless_frozen(frozen):
    nlp = inline_pipeline(frozen=frozen)
    tagger = nlp.get_pipe("tagger")
    before = weights_of(tagger)
    train(nlp)
    assert bool(changed(before, tagger)) is not frozen
    mix = next(node for node in tagger.model.walk() if node.name == "scalar_mix")
    assert mix.get_param("w").any()


@pytest.mark.parametrize("frozen", [True, False])
def test_inline_model_survives_a_directory(tmp_path, frozen):
    nlp = inline_pipeline(frozen=frozen, weights=[0.0, 1.0, 2.0])
    train(nlp)
    nlp.to_disk(tmp_path)
    other = spacy.load(tmp_path)
    docs = [example.predicted for example in examples(nlp)]
    expected = nlp.get_pipe("tagger").model.predict(docs)
    for found, one in zip(other.get_pipe("tagger").model.predict(docs), expected):
        assert_allclose(found, one, atol=1e-6)
    before = weights_of(other.get_pipe("tagger"))
    train(other)
    assert bool(changed(before, other.get_pipe("tagger"))) is not frozen


def test_inline_model_without_a_loader_takes_the_packaged_weights():
    encoder = build_bilm_v1(width=512)
    model = build_tok2vec_elmo_v1(encoder)
    model.initialize()
    doc = spacy.blank("en")("Ann saw Rome .")
    assert model.predict([doc])[0].shape == (4, 512)


def test_weights_are_loaded_once_if_no_loader_is_named():
    model = build_tok2vec_elmo_v1(build_bilm_v1(width=512))
    model.initialize()
    bilm = bilm_of(model)
    model.initialize()
    assert bilm_of(model) is bilm


def test_sizes_that_do_not_fit_the_weights():
    model = build_tok2vec_elmo_v1(build_bilm_v1(width=99), loader=make_tiny_loader())
    with pytest.raises(ValueError, match="width 12 and depth 2.*width = 99"):
        model.initialize()


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"start_state": "carry"}, "must be one of warm, zero"),
        ({"precision": "float16"}, "must be one of float32, bfloat16"),
        ({"batch_tokens": 0}, "must be at least 1"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        build_bilm_v1(width=WIDTH, **settings)


def test_precision_and_start_state_are_used():
    docs = [spacy.blank("en")("Ann saw Rome .")]
    found = {}
    for start, precision in (("warm", "float32"), ("zero", "float32"), ("warm", "bfloat16")):
        encoder = build_bilm_v1(width=WIDTH, start_state=start, precision=precision)
        model = build_tok2vec_elmo_v1(encoder, loader=make_tiny_loader())
        model.initialize()
        found[start, precision] = model.predict(docs)[0]
    exact = found["warm", "float32"]
    assert abs(found["zero", "float32"] - exact).max() > 1e-3
    assert 0 < abs(found["warm", "bfloat16"] - exact).max() < 0.1


def test_concat_embed_joins_both_and_trains():
    nlp = blank()
    embed = {
        "@architectures": "spacy.MultiHashEmbed.v2",
        "width": 8,
        "attrs": ["NORM", "SHAPE"],
        "rows": [100, 100],
        "include_static_vectors": False,
    }
    tok2vec = {
        "@architectures": "spacy.Tok2Vec.v2",
        "embed": {
            "@architectures": "spacy-elmo.ConcatEmbed.v1",
            "width": 16,
            "elmo": LISTENER,
            "embed": embed,
        },
        "encode": {
            "@architectures": "spacy.MaxoutWindowEncoder.v2",
            "width": 16,
            "window_size": 1,
            "maxout_pieces": 2,
            "depth": 1,
        },
    }
    model = {"@architectures": "spacy.Tagger.v2", "tok2vec": tok2vec}
    nlp.add_pipe("tagger", config={"model": model})
    nlp.get_pipe("elmo").frozen = False
    nlp.initialize(lambda: examples(nlp))
    assert nlp.get_pipe("elmo").listening_components == ["tagger"]
    before = weights_of(nlp.get_pipe("elmo"))
    tables = [n for n in nlp.get_pipe("tagger").model.walk() if n.name == "hashembed"]
    rows = [table.get_param("E").copy() for table in tables]
    train(nlp)
    assert changed(before, nlp.get_pipe("elmo"))
    assert all(np.any(table.get_param("E") != row) for table, row in zip(tables, rows))
    assert [token.tag_ for token in nlp("Ann saw Rome .")]


def test_concat_embed_with_an_inline_model():
    inline = build_tok2vec_elmo_v1(build_bilm_v1(width=WIDTH), loader=make_tiny_loader())
    listener = build_elmo_listener_v1(width=WIDTH)
    docs = [spacy.blank("en")("Ann saw Rome .")]
    model = build_concat_embed_v1(8, inline, listener)
    model.initialize(X=docs)
    assert model.get_dim("nO") == 8
    assert model.predict(docs)[0].shape == (4, 8)
