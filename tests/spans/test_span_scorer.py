"""The scores of spans, compared with a loop over spans."""

import pytest
import torch
from torch import nn

from spacy_elmo.spans.sentence_lstm import SentenceLSTM
from spacy_elmo.spans.span_scorer import SpanScorer
from spacy_elmo.spans.span_sums import weighted_means

LENGTHS = torch.tensor([3, 1, 5, 2])


def scorer(depth=1):
    torch.manual_seed(0)
    made = SpanScorer(width=6, hidden=5, depth=depth, dropout=0.0, max_width=3, n_scores=2)
    nn.init.normal_(made.widths.weight)
    return made.double()


def spans(n=11, max_width=4):
    pairs = [(i, j) for i in range(n) for j in range(i, min(i + max_width, n))]
    first, last = zip(*pairs)
    return torch.tensor(first), torch.tensor(last)


@pytest.mark.parametrize("depth", [1, 2])
def test_scores_equal_a_loop_over_spans(depth):
    made = scorer(depth)
    x = torch.randn(11, 6, dtype=torch.float64)
    first, last = spans()
    weights = made.attention_of(x)
    found = made(x, first, last, weights)
    for score, i, j in zip(found, first.tolist(), last.tolist()):
        weights_of_span = torch.softmax(made.attention(x[i : j + 1]), dim=0)
        mean = (weights_of_span * x[i : j + 1]).sum(dim=0)
        hidden = made.first(x[i]) + made.last(x[j]) + made.content(mean)
        hidden = hidden + made.widths.weight[min(j - i, 2)]
        torch.testing.assert_close(score, made.score(hidden))


@pytest.mark.parametrize("size", [1, 5, 10_000])
def test_scores_do_not_depend_on_chunks(monkeypatch, size):
    monkeypatch.setattr("spacy_elmo.spans.span_scorer.CHUNK_SPANS", size)
    made = scorer(2)
    x = torch.randn(11, 6, dtype=torch.float64)
    first, last = spans()
    whole = made(x, first, last, made.attention_of(x))
    chunk_sizes = []
    made.score.register_forward_hook(lambda _, inputs, output: chunk_sizes.append(len(output)))
    with torch.no_grad():
        found = made(x, first, last, made.attention_of(x))
    torch.testing.assert_close(found, whole.detach())
    assert max(chunk_sizes) <= size and sum(chunk_sizes) == len(first)


def test_scores_do_not_depend_on_the_rest_of_the_batch():
    made = scorer()
    x = torch.randn(8, 6, dtype=torch.float64)
    first, last = spans(8)
    alone = made(x, first, last, made.attention_of(x))
    more = torch.cat([x, 100 * torch.randn(5, 6, dtype=torch.float64)])
    torch.testing.assert_close(made(more, first, last, made.attention_of(more)), alone)


def test_gradients_of_weighted_means_equal_numerical_gradients():
    torch.manual_seed(0)
    first, last = spans(6)
    first, last = first[::3], last[::3]
    x = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    logits = torch.randn(6, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, logits: weighted_means(x, logits.exp(), first, last), (x, logits)
    )


def test_means_are_accurate_in_a_long_text():
    torch.manual_seed(0)
    x, weights = torch.randn(200_000, 2) + 100, torch.rand(200_000, 1)
    first = torch.tensor([0, 100_000, 199_990])
    found = weighted_means(x, weights, first, first + 3)
    for row, i in zip(found, first.tolist()):
        rows = slice(i, i + 4)
        expected = (x[rows] * weights[rows]).sum(dim=0) / weights[rows].sum()
        torch.testing.assert_close(row, expected, atol=1e-3, rtol=1e-5)


def test_each_sequence_is_read_separately():
    torch.manual_seed(0)
    encoder = SentenceLSTM(6, 4, 0.0)
    x = torch.randn(11, 6)
    found = encoder(x, LENGTHS)
    assert found.shape == (11, encoder.width)
    for result, sequence in zip(found.split(LENGTHS.tolist()), x.split(LENGTHS.tolist())):
        alone = encoder(sequence, torch.tensor([len(sequence)]))
        torch.testing.assert_close(result, alone)
        # the backward direction equals a forward direction over the reversed sequence
        inputs = encoder.inputs(sequence).view(-1, 2, 4)
        inputs = torch.stack([inputs[:, 0], inputs[:, 1].flip(0)])
        zeros = torch.zeros(2, 1, 4)
        outputs, _, _ = encoder.lstm(inputs, [1] * len(sequence), zeros, zeros)
        torch.testing.assert_close(result, torch.cat([outputs[0], outputs[1].flip(0)], dim=1))


def test_weights_changed_in_place_through_numpy_are_used():
    encoder = SentenceLSTM(6, 4, 0.0).eval()
    x = torch.randn(11, 6)
    with torch.no_grad():
        before = encoder(x, LENGTHS)
        encoder.lstm.state_weight.detach().numpy()[...] *= 2  # as thinc's optimizers do
        encoder.inputs.bias.detach().numpy()[...] += 1
        assert not torch.allclose(before, encoder(x, LENGTHS))
        encoder.lstm.input_weight.detach().numpy()[...] = 0
        encoder.lstm.state_weight.detach().numpy()[...] = 0
        constant = encoder(x, LENGTHS)
    torch.testing.assert_close(constant[0, :4], constant[3, :4])  # both are first in their sequence


def test_size_zero_returns_the_token_vectors():
    x = torch.randn(3, 6)
    encoder = SentenceLSTM(6, 0, 0.0)
    assert torch.equal(encoder(x, torch.tensor([3])), x) and encoder.width == 6


@pytest.mark.parametrize("size", [0, 4])
def test_no_tokens_give_no_vectors_and_no_scores(size):
    encoder = SentenceLSTM(6, size, 0.0)
    nothing = torch.zeros(0, dtype=torch.int64)
    assert encoder(torch.zeros(0, 6), nothing).shape == (0, encoder.width)
    made = scorer()
    empty = torch.zeros(0, 6, dtype=torch.float64)
    assert made(empty, nothing, nothing, made.attention_of(empty)).shape == (0, 2)
