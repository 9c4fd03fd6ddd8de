"""Cross-entropies with hand-written gradients, compared with autograd through plain torch."""

import pytest
import torch
from torch.nn import functional

from spacy_elmo.lm import softmax
from spacy_elmo.lm.softmax import cross_entropy, sampled_cross_entropy

N, DIM, V = 11, 5, 17
# some targets are repeated, and some are among the samples
TARGETS = torch.tensor([3, 3, 0, 16, 9, 3, 5, 0, 12, 9, 1])
SAMPLES = torch.tensor([9, 2, 3, 15, 7, 0])


@pytest.fixture(params=[False, True], ids=["one chunk", "chunks"])
def chunks(request, monkeypatch):
    if request.param:
        monkeypatch.setattr(softmax, "MIN_ROWS", 2)
        monkeypatch.setattr(softmax, "MAX_ELEMENTS", 4 * V)


def inputs(dtype=torch.float64, scale=1.0):
    torch.manual_seed(0)
    shapes = ((N, DIM), (V, DIM), (V,))
    return [(torch.randn(*shape, dtype=dtype) * scale).requires_grad_() for shape in shapes]


def corrections(dtype=torch.float64):
    torch.manual_seed(1)
    log_q = -3 * torch.rand(V, dtype=dtype)
    return log_q[TARGETS], log_q[SAMPLES]


def plain(h, weight, bias, targets):
    return functional.cross_entropy(h @ weight.t() + bias, targets, reduction="sum")


def plain_sampled(h, weight, bias, targets, samples, log_q):
    of_targets, of_samples = log_q
    total = h.new_zeros(())
    for row, target in enumerate(targets.tolist()):
        own = h[row] @ weight[target] + bias[target] - of_targets[row]
        others = h[row] @ weight[samples].t() + bias[samples] - of_samples
        logits = torch.cat([own[None], others[samples != target]])
        total = total - torch.log_softmax(logits, dim=0)[0]
    return total


def gradients(loss, tensors):
    return torch.autograd.grad(loss, tensors)


def assert_same(function, expected_function, tensors, **tolerance):
    loss, expected = function(*tensors), expected_function(*tensors)
    torch.testing.assert_close(loss, expected, **tolerance)
    # the loss is multiplied by 3, to test that the backward pass multiplies by the gradient
    found = gradients(3 * loss, tensors)
    for x, y in zip(found, gradients(3 * expected, tensors)):
        torch.testing.assert_close(x, y, **tolerance)


def numeric_gradient(function, tensors, which, eps=1e-6):
    """Compute the gradient of each element by central differences."""
    x = tensors[which].detach()
    found = torch.empty_like(x)
    for i in range(x.numel()):
        sides = []
        for side in (eps, -eps):
            moved = [t.detach().clone() for t in tensors]
            moved[which].view(-1)[i] += side
            sides.append(function(*moved))
        found.view(-1)[i] = (sides[0] - sides[1]) / (2 * eps)
    return found


@pytest.mark.parametrize("sampled", [False, True])
def test_gradients_agree_with_finite_differences(chunks, sampled):
    # torch's gradcheck computes the gradients twice, but the forward pass stores them only once
    def loss(h, weight, bias):
        if not sampled:
            return cross_entropy(h, weight, bias, TARGETS)
        return sampled_cross_entropy(h, weight, bias, TARGETS, SAMPLES, corrections())

    tensors = inputs()
    found = gradients(loss(*tensors), tensors)
    for which, gradient in enumerate(found):
        numeric = numeric_gradient(loss, tensors, which)
        torch.testing.assert_close(gradient, numeric, atol=1e-8, rtol=1e-6)


def test_the_full_softmax_agrees_with_torch(chunks):
    assert_same(lambda *x: cross_entropy(*x, TARGETS), lambda *x: plain(*x, TARGETS), inputs())


def test_the_sampled_softmax_is_over_the_target_and_the_samples(chunks):
    def found(*x):
        return sampled_cross_entropy(*x, TARGETS, SAMPLES, corrections())

    assert_same(found, lambda *x: plain_sampled(*x, TARGETS, SAMPLES, corrections()), inputs())


def test_sampling_all_classes_without_correction_is_the_full_softmax(chunks):
    order = torch.randperm(V, generator=torch.Generator().manual_seed(2))
    log_q = torch.zeros(N, dtype=torch.float64), torch.zeros(V, dtype=torch.float64)

    def found(*x):
        return sampled_cross_entropy(*x, TARGETS, order, log_q)

    assert_same(found, lambda *x: plain(*x, TARGETS), inputs())


def test_sampling_almost_all_classes_is_close_to_the_full_softmax():
    torch.manual_seed(0)
    n_words, n_samples = 2000, 1990
    h, weight, bias = torch.randn(64, DIM), torch.randn(n_words, DIM), torch.randn(n_words)
    targets = torch.randint(n_words, (64,))
    samples = torch.randperm(n_words)[:n_samples]
    log_q = [torch.full((n,), n_samples / n_words).log() for n in (64, n_samples)]
    loss = sampled_cross_entropy(h, weight, bias, targets, samples, (log_q[0], log_q[1]))
    expected = plain(h, weight, bias, targets)
    torch.testing.assert_close(loss, expected, atol=0, rtol=0.01)


def test_a_row_whose_only_sample_is_its_target_has_no_loss():
    h, weight, bias = inputs()
    target, zero = torch.tensor([4]), torch.zeros(1, dtype=torch.float64)
    loss = sampled_cross_entropy(h[:1], weight, bias, target, target, (zero, zero))
    assert loss == 0
    assert all(not gradient.any() for gradient in gradients(loss, (h, weight, bias)))


@pytest.mark.parametrize("sampled", [False, True])
def test_bfloat16_is_near_float32(sampled):
    def loss(*x, dtype=None):
        if not sampled:
            return cross_entropy(*x, TARGETS, dtype)
        log_q = corrections(torch.float32)
        return sampled_cross_entropy(*x, TARGETS, SAMPLES, log_q, dtype)

    tensors = inputs(torch.float32)
    expected, found = loss(*tensors), loss(*tensors, dtype=torch.bfloat16)
    assert found.dtype == torch.float32 and found != expected
    torch.testing.assert_close(found, expected, atol=0, rtol=0.01)
    for x, y in zip(gradients(found, tensors), gradients(expected, tensors)):
        assert x.dtype == torch.float32
        torch.testing.assert_close(x, y, atol=0.05 * y.abs().max().item(), rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sampled", [False, True])
def test_large_logits_do_not_overflow(dtype, sampled):
    h = torch.ones(N, 1, requires_grad=True)
    weight = torch.linspace(-1e4, 1e4, V)[:, None].requires_grad_()
    bias = torch.zeros(V, requires_grad=True)
    zeros = torch.zeros(N), torch.zeros(len(SAMPLES))
    if sampled:
        loss = sampled_cross_entropy(h, weight, bias, TARGETS, SAMPLES, zeros, dtype)
        expected = plain_sampled(h, weight, bias, TARGETS, SAMPLES, zeros)
    else:
        loss, expected = (
            cross_entropy(h, weight, bias, TARGETS, dtype),
            plain(h, weight, bias, TARGETS),
        )
    torch.testing.assert_close(loss, expected, atol=0, rtol=0.01)
    found = gradients(loss, (h, weight, bias))
    assert all(gradient.isfinite().all() for gradient in found)


def test_no_rows_have_no_loss():
    h, weight, bias = inputs()
    loss = cross_entropy(h[:0], weight, bias, TARGETS[:0])
    assert loss == 0
    assert all(not gradient.any() for gradient in gradients(loss, (h, weight, bias)))


@pytest.mark.parametrize("sampled", [False, True])
def test_without_gradients_only_the_loss_is_computed(sampled, monkeypatch):
    def loss():
        if sampled:
            return sampled_cross_entropy(*tensors, TARGETS, SAMPLES, corrections())
        return cross_entropy(*tensors, TARGETS)

    tensors = inputs()
    expected = loss().detach()
    monkeypatch.setattr(softmax.torch, "mm", None)  # computes the gradients
    with torch.no_grad():
        found = loss()
    assert not found.requires_grad and torch.equal(found, expected)
