"""Whitespace tokens do not affect the scores of spans of words, and get no label."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.training import Example

from ..whitespace import gaps, respaced, words_in
from .test_span_scorer_model import bare, make_doc, trained  # noqa: F401


def found_in_words(doc):
    return sorted((*words_in(doc, span.start, span.end), span.label_) for span in doc.spans["sc"])


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 15), found=gaps(9))
def test_whitespace_does_not_change_predictions(trained, seed, found):  # noqa: F811
    doc = bare(make_doc(trained, seed))
    longest = 4 + sum(len(texts) for texts, _ in found.values())
    pipe = trained.get_pipe("spancat")
    suggest, pipe.suggester = pipe.suggester, all_spans(longest)
    try:
        plain, spaced = trained(doc), trained(respaced(bare(doc), found))
    finally:
        pipe.suggester = suggest
    assert len(plain.spans["sc"]) >= 4
    # the suggester returns other spans of more than 4 words
    assert [span for span in found_in_words(spaced) if span[1] - span[0] <= 4] == [
        span for span in found_in_words(plain) if span[1] - span[0] <= 4
    ]


def all_spans(longest):
    from spacy.pipeline.spancat import build_ngram_range_suggester

    return build_ngram_range_suggester(1, longest)


@pytest.mark.parametrize("words", [[], ["\n"], [" ", "\n\n"]])
def test_docs_without_words_get_no_spans(trained, words):  # noqa: F811
    gold = Doc(trained.vocab, words)
    gold.spans["sc"] = []
    other = make_doc(trained, 3)
    docs = list(trained.pipe([Doc(trained.vocab, words), bare(other)]))
    assert not docs[0].spans["sc"] and len(docs[1].spans["sc"]) == 4
    alone = trained.get_pipe("spancat").update([Example(bare(gold), gold)], sgd=None)
    both = trained.get_pipe("spancat").update(
        [Example(bare(gold), gold), Example(bare(other), other)], sgd=None
    )
    assert abs(alone["spancat"]) < 1e-6 and np.isfinite(both["spancat"])
    trained.get_pipe("spancat").finish_update(
        lambda key, weights, gradient, **kw: (weights, gradient)
    )


def test_whitespace_does_not_change_the_loss(trained):  # noqa: F811
    gold = make_doc(trained, 3)
    # inside no suggested span, so that the suggested spans of words are the same
    spaced = respaced(gold, {0: (["\n"], False), 9: ([" ", "\n"], False)})
    pipe = trained.get_pipe("spancat")
    losses = []
    for doc in (gold, spaced):
        losses.append(pipe.update([Example(bare(doc), doc)], sgd=None)["spancat"])
        pipe.finish_update(lambda key, weights, gradient, **kwargs: (weights, gradient))
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
