"""Muon: the orthogonalization, and agreement with torch."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from spacy_elmo.pretrain.muon import Muon, orthogonalize

SIZES = [(8, 8), (40, 6), (6, 40), (3, 12, 5), (2, 2, 5, 12), (1, 7), (7, 1)]


@pytest.mark.parametrize("size", SIZES)
def test_singular_values_become_about_one(size):
    torch.manual_seed(0)
    x = torch.randn(size)
    values = torch.linalg.svdvals(orthogonalize(x))
    assert values.shape == (*size[:-2], min(size[-2:]))
    assert values.min() > 0.6 and values.max() < 1.3


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.floats(-6, 6))
def test_singular_vectors_are_preserved_and_the_scale_does_not_matter(seed, exponent):
    x = torch.randn(12, 5, generator=torch.Generator().manual_seed(seed))
    u, _, v = torch.linalg.svd(x, full_matrices=False)
    found = orthogonalize(x * 10.0**exponent)
    # it is diagonal in the basis of the singular vectors of x
    inner = u.t() @ found @ v.t()
    torch.testing.assert_close(inner, torch.diag(inner.diag()), atol=1e-3, rtol=0)
    torch.testing.assert_close(found, orthogonalize(x), atol=1e-3, rtol=0)


def test_each_matrix_of_a_stack_is_orthogonalized_separately():
    x = torch.randn(2, 3, 9, 4)
    found = orthogonalize(x)
    for row, expected in zip(found, x):
        for one, other in zip(row, expected):
            assert torch.equal(one, orthogonalize(other))


@pytest.mark.parametrize("x", [torch.zeros(4, 3), torch.zeros(2, 3, 4), torch.ones(6, 6)])
def test_matrices_without_full_rank_stay_finite(x):
    found = orthogonalize(x)
    assert found.isfinite().all() and torch.linalg.matrix_norm(found, 2).max() < 1.3


def weights():
    torch.manual_seed(0)
    return nn.Parameter(torch.randn(2, 12, 5))


def set_gradient(param, step):
    param.grad = torch.randn(param.shape, generator=torch.Generator().manual_seed(step))


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
def test_updates_agree_with_torch():
    stack = weights()
    optimizer = Muon([stack], lr=0.01, momentum=0.9, weight_decay=0.1)
    single = [nn.Parameter(matrix.detach().clone()) for matrix in stack]
    other = torch.optim.Muon(
        single, lr=0.01, momentum=0.9, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"
    )
    for step in range(4):
        set_gradient(stack, step)
        for one, gradient in zip(single, stack.grad):
            one.grad = gradient.clone()
        optimizer.step()
        other.step()
    # torch runs the iterations in bfloat16
    torch.testing.assert_close(stack.detach(), torch.stack(single).detach(), atol=1e-3, rtol=0)


def test_resumes_from_its_state():
    param = weights()
    optimizer = Muon([param], lr=0.01)
    for step in range(3):
        set_gradient(param, step)
        optimizer.step()
    same = copy.deepcopy(param)
    other = Muon([same], lr=0.01)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for step in range(3, 6):
        for used, of in ((param, optimizer), (same, other)):
            set_gradient(used, step)
            of.step()
    assert torch.equal(same, param)


def test_weights_without_a_gradient_are_not_updated():
    param = weights()
    before = param.detach().clone()
    Muon([param], lr=0.01).step()
    assert torch.equal(param.detach(), before)


def test_concatenated_matrices_are_updated_separately():
    whole, parts = weights(), [nn.Parameter(part.clone()) for part in weights()[0].chunk(4)]
    together = Muon([{"params": [whole], "n_matrices": 4}], lr=0.1)
    apart = Muon(parts, lr=0.1)
    for step in range(3):
        set_gradient(whole, step)
        for part, gradient in zip(parts, whole.grad[0].chunk(4)):
            part.grad = gradient.clone()
        together.step()
        apart.step()
    torch.testing.assert_close(whole[0], torch.cat(list(parts)))
