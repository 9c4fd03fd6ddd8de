"""The common behavior of both shims, and the device of a module."""

import copy

import numpy as np
import pytest
import torch
from thinc.api import Adam, NumpyOps
from torch import nn

from spacy_elmo.models.bilm_shim import BiLMShim
from spacy_elmo.models.module_shim import ModuleShim
from spacy_elmo.models.torch_shim import find_device

from ..pipelines import blank
from ..samples import tiny_bilm

needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


def make_linear(n_inputs):
    return nn.Linear(n_inputs, 2, dtype=torch.float32)


def empty_bilm_shim():
    return BiLMShim()


def bilm_shim():
    shim = BiLMShim()
    shim.set_module(tiny_bilm().requires_grad_(True), NumpyOps())
    return shim


def empty_module_shim():
    return ModuleShim("layer", make_linear)


def module_shim():
    shim = empty_module_shim()
    shim.build_module(NumpyOps(), n_inputs=3)
    return shim


BOTH = pytest.mark.parametrize("make", [bilm_shim, module_shim])
BOTH_EMPTY = pytest.mark.parametrize("make", [empty_bilm_shim, empty_module_shim])


def params_of(shim):
    return {name: param.detach().clone() for name, param in shim.module.named_parameters()}


def changed(shim, before):
    return [name for name, param in params_of(shim).items() if not torch.equal(param, before[name])]


@BOTH
def test_a_copy_has_its_own_id_and_its_own_weights(make):
    shim = make()
    copied = shim.copy()
    assert copied.id != shim.id
    before = params_of(shim)
    with torch.no_grad():
        for param in copied.module.parameters():
            param.add_(1)
    assert changed(shim, before) == [] and changed(copied, before) == [*before]


@BOTH
def test_bytes_keep_all_weights(make):
    shim = make()
    other = (empty_bilm_shim() if make is bilm_shim else empty_module_shim()).from_bytes(
        shim.to_bytes()
    )
    state = shim.module.state_dict()
    assert other.module.state_dict().keys() == state.keys()
    assert all(torch.equal(x, state[name]) for name, x in other.module.state_dict().items())


@BOTH_EMPTY
def test_bytes_before_there_are_weights(make):
    assert make().to_bytes() == b""
    assert not make().from_bytes(b"").loaded


@BOTH_EMPTY
def test_missing_weights_are_an_error_with_the_fix(make):
    with pytest.raises(ValueError, match="no weights yet.*nlp.initialize"):
        make().module  # noqa: B018


@BOTH_EMPTY
def test_methods_without_a_module_do_nothing(make):
    shim = make()
    shim.finish_update(Adam(0.1))
    shim.to_device("cpu", 0)
    with shim.use_params({(shim.id, "weight"): np.zeros((2, 3), dtype="f")}):
        assert not shim.loaded and not shim.swapped


@BOTH
def test_a_step_changes_weights_with_a_gradient_alone(make):
    shim = make()
    before = params_of(shim)
    shim.finish_update(Adam(0.1))
    assert changed(shim, before) == []
    name, param = next(iter(shim.module.named_parameters()))
    optimizer = Adam(0.1)
    for _ in range(2):
        param.grad = torch.ones_like(param)
        shim.finish_update(optimizer)
        assert all(param.grad is None for param in shim.module.parameters())
    assert changed(shim, before) == [name]
    # momentum does not change weights in an update without a gradient
    before = params_of(shim)
    shim.finish_update(optimizer)
    assert changed(shim, before) == []


@BOTH
@pytest.mark.parametrize("fails", [False, True])
def test_replaced_parameters_are_restored(make, fails):
    shim = make()
    before = params_of(shim)
    name = next(iter(before))
    params = {(shim.id, name): (before[name] + 1).numpy(), (shim.id + 1000, name): None}
    try:
        with shim.use_params(params):
            assert shim.swapped and changed(shim, before) == [name]
            assert torch.equal(params_of(shim)[name], before[name] + 1)
            if fails:
                raise KeyError
    except KeyError:
        pass
    assert not shim.swapped and changed(shim, before) == []


@BOTH
def test_parameters_of_other_shims_are_ignored(make):
    shim = make()
    before = params_of(shim)
    with shim.use_params({(shim.id + 1000, name): np.zeros(1) for name in before}):
        assert not shim.swapped and changed(shim, before) == []


@BOTH
def test_loading_replaces_the_module(make):
    shim, other = make(), make()
    module = shim.module
    before = copy.deepcopy(module.state_dict())
    shim.from_bytes(other.to_bytes())
    assert shim.module is not module
    assert all(torch.equal(x, before[name]) for name, x in module.state_dict().items())


@needs_no_gpu
def test_a_gpu_that_is_not_available():
    with pytest.raises(ValueError, match="finds 0 GPUs here.*components.elmo.model.device"):
        find_device("cuda:0", NumpyOps())
    nlp = blank(elmo={"model": {"device": "cuda:0"}})
    with pytest.raises(ValueError, match="finds 0 GPUs here"):
        nlp.initialize()


def test_a_device_that_torch_does_not_know():
    with pytest.raises(ValueError, match="'toaster' is not a torch device"):
        find_device("toaster", NumpyOps())


def test_without_a_device_the_module_follows_the_ops():
    assert find_device(None, NumpyOps()) == torch.device("cpu")
