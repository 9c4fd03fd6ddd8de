import pytest
import torch
from torch.nn.functional import conv1d

from spacy_elmo.bilm.char_cnn import WORDS_PER_BUCKET, CharCNN, Highway
from spacy_elmo.bilm.characters import ByteCharacters

from ..samples import tiny_options
from .plain import features

WORDS = ["a", "", "the", "x" * 60, "naïve", "日本語", "word" * 8, "ab", "🙂"]


def make_cnn(**changes):
    torch.manual_seed(0)
    cnn = CharCNN(tiny_options(**changes)).double()
    with torch.no_grad():
        for param in cnn.parameters():
            param.normal_(0, 0.7)
    return cnn


def encode(words, n_positions=50):
    return tuple(torch.from_numpy(array) for array in ByteCharacters(n_positions).encode(words))


def gradients(cnn, output, weight):
    return torch.autograd.grad((output * weight).sum(), list(cnn.parameters()), allow_unused=True)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("n_highway", [0, 2])
def test_equals_a_convolution_over_all_positions(activation, n_highway):
    cnn = make_cnn(activation=activation, n_highway=n_highway)
    ids, n_used = encode(WORDS)
    expected = torch.stack([features(cnn, row.tolist()) for row in ids])
    torch.testing.assert_close(cnn(ids, n_used), expected)


def test_gradients_equal_a_convolution_over_all_positions():
    cnn = make_cnn()
    ids, n_used = encode(WORDS)
    expected = torch.stack([features(cnn, row.tolist()) for row in ids])
    weight = torch.randn_like(expected)
    found = gradients(cnn, cnn(ids, n_used), weight)
    for one, other in zip(found, gradients(cnn, expected, weight)):
        torch.testing.assert_close(one, other)


def test_equals_conv1d():
    cnn = make_cnn(n_highway=0)
    ids, n_used = encode(WORDS)
    chars = cnn.embedding[ids].transpose(1, 2)
    expected = [
        conv1d(chars, weight.transpose(1, 2), bias).amax(dim=2).relu()
        for weight, bias in zip(cnn.filters, cnn.biases)
    ]
    torch.testing.assert_close(cnn(ids, n_used), torch.cat(expected, dim=1))


def test_buckets_keep_the_order_of_the_words():
    cnn = make_cnn()
    words = [f"{i}" * (i % 17) for i in range(2 * WORDS_PER_BUCKET + 3)]
    ids, n_used = encode(words)
    together = cnn(ids, n_used)
    for i in (0, 16, 255, 256, 300, 514):
        torch.testing.assert_close(together[i : i + 1], cnn(ids[i : i + 1], n_used[i : i + 1]))


def test_no_words():
    cnn = make_cnn()
    ids, n_used = encode([])
    assert cnn(ids, n_used).shape == (0, 18)


def test_filter_of_the_width_of_a_word():
    cnn = make_cnn(filters=((1, 2), (6, 3)), max_characters=6)
    ids, n_used = encode(WORDS, 6)
    expected = torch.stack([features(cnn, row.tolist()) for row in ids])
    torch.testing.assert_close(cnn(ids, n_used), expected)


def test_highway_gate_multiplies_the_transformed_value():
    highway = Highway(2)
    with torch.no_grad():
        highway.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 2.0], [0.0, 0.0], [0.0, 0.0]]))
        highway.bias.copy_(torch.tensor([0.0, 0.0, 100.0, -100.0]))
    x = torch.tensor([[3.0, 5.0]])
    torch.testing.assert_close(highway(x), torch.tensor([[6.0, 5.0]]))


def test_highway_initially_passes_its_input():
    assert Highway(3).bias.tolist() == [0.0, 0.0, 0.0, -2.0, -2.0, -2.0]
