import torch

from spacy_elmo.coref.mention_scorer import MentionScorer


def test_vectors_contain_ends_content_and_width():
    torch.manual_seed(0)
    made = MentionScorer(
        width=6, hidden=5, depth=1, dropout=0.0, max_width=4, embedding_size=3
    ).double()
    x = torch.randn(9, 6, dtype=torch.float64)
    first, last = torch.tensor([0, 2, 7]), torch.tensor([0, 5, 8])
    weights = made.attention_of(x)
    vectors = made.vectors(x, first, last, weights)
    assert vectors.shape == (3, made.vector_size)
    for vector, i, j in zip(vectors, first.tolist(), last.tolist()):
        mean = (torch.softmax(made.attention(x[i : j + 1]), dim=0) * x[i : j + 1]).sum(dim=0)
        expected = torch.cat([x[i], x[j], mean, made.vector_widths.weight[j - i]])
        torch.testing.assert_close(vector, expected)
    assert made(x, first, last, weights).shape == (3,)
