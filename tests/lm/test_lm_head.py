"""The full and the adaptive softmax."""

import pytest
import torch

from spacy_elmo.lm.lm_head import AdaptiveSoftmax, FullSoftmax, make_head

N, DIM, V = 13, 8, 20
HEADS = pytest.mark.parametrize("cutoffs", [(), (5,), (4, 10), (1, 2, 19)], ids=str)


def head_of(cutoffs, scale=1.0):
    torch.manual_seed(0)
    head = make_head(V, DIM, cutoffs).double()
    with torch.no_grad():
        for param in head.parameters():
            param.add_(torch.randn_like(param)).mul_(scale)
    return head


def rows(n=N):
    torch.manual_seed(1)
    return torch.randn(n, DIM, dtype=torch.float64, requires_grad=True), torch.randint(V, (n,))


def loss_by_probabilities(head, h, targets):
    return -head.log_probs(h).gather(1, targets[:, None]).sum()


@HEADS
def test_probabilities_sum_to_one(cutoffs):
    found = head_of(cutoffs).log_probs(rows()[0])
    assert found.shape == (N, V)
    torch.testing.assert_close(found.exp().sum(dim=1), torch.ones(N, dtype=torch.float64))


@HEADS
def test_loss_and_gradients_agree_with_the_probabilities(cutoffs):
    head = head_of(cutoffs)
    h, targets = rows()
    inputs = [h, *head.parameters()]
    loss, expected = head(h, targets), loss_by_probabilities(head, h, targets)
    torch.testing.assert_close(loss, expected)
    found = torch.autograd.grad(loss, inputs)
    for x, y in zip(found, torch.autograd.grad(expected, inputs)):
        torch.testing.assert_close(x, y)


@HEADS
@pytest.mark.parametrize("target", [0, 4, 5, 19])
def test_targets_may_all_be_in_one_cluster(cutoffs, target):
    head = head_of(cutoffs)
    h, targets = rows()[0], torch.full((N,), target)
    loss = head(h, targets)
    torch.testing.assert_close(loss, loss_by_probabilities(head, h, targets))
    loss.backward()
    assert all(param.grad is not None for param in head.parameters())


def test_a_cluster_without_targets_has_a_gradient_of_zero():
    head = head_of((4, 10))
    head(rows()[0], torch.full((N,), 4)).backward()
    assert head.weights[0].grad.any()
    assert not head.weights[1].grad.any() and not head.projections[1].grad.any()


@HEADS
def test_the_bias_is_initialized_from_probabilities(cutoffs):
    probabilities = torch.rand(V, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    probabilities /= probabilities.sum()
    head = head_of(cutoffs)
    head.init_bias(probabilities)
    found = head.log_probs(torch.zeros(1, DIM, dtype=torch.float64))[0].exp()
    torch.testing.assert_close(found, probabilities)


@HEADS
def test_bfloat16_is_near_float32(cutoffs):
    head, (h, targets) = head_of(cutoffs).float(), rows(200)
    expected, found = head(h.float(), targets), head(h.float(), targets, torch.bfloat16)
    assert found != expected
    torch.testing.assert_close(found, expected, atol=0, rtol=0.01)


@HEADS
def test_large_logits_do_not_overflow(cutoffs):
    head, (h, targets) = head_of(cutoffs, scale=1e4).float(), rows()
    inputs = [h, *head.parameters()]
    loss = head(h.float(), targets)
    torch.testing.assert_close(loss, loss_by_probabilities(head, h.float(), targets))
    assert loss > 1e4
    assert all(x.isfinite().all() for x in torch.autograd.grad(loss, inputs))


@pytest.mark.parametrize(
    "cutoffs", [(0,), (20,), (21,), (5, 5), (8, 4), (-1,), (2, 4, 6, 8)], ids=str
)
def test_bad_cutoffs_are_an_error(cutoffs):
    with pytest.raises(ValueError, match="adaptive softmax has the cutoffs .*must ascend"):
        make_head(V, DIM, cutoffs)


def test_the_cutoffs_decide_the_kind_of_softmax():
    assert isinstance(make_head(V, DIM), FullSoftmax)
    head = make_head(V, DIM, [4, 10])
    assert isinstance(head, AdaptiveSoftmax) and head.cutoffs == (4, 10)
    assert head.n_words == V
    assert [tuple(weight.shape) for weight in head.weights] == [(6, 4), (10, 2)]
