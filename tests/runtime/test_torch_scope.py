"""PyTorch settings of the calling program do not change the vectors without a warning."""

import ast
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import spacy_elmo
from spacy_elmo.bilm import WordBatch
from spacy_elmo.runtime import torch_scope

from .. import torch_paths
from ..samples import SENTENCES, tiny_bilm

ROOT = Path(__file__).parents[2]
# settings that have no effect together have no effect separately
TOGETHER = [
    ("float64", "meta device", "no gradients"),
    ("bfloat16", "meta context", "autocast", "deterministic"),
    ("float16", "inference mode", "no mkldnn", "flush denormals"),
]
FACTORIES = {"empty", "zeros", "ones", "full", "tensor", "arange", "linspace", "eye", "as_tensor"}
FACTORIES |= {"rand", "randn", "randint", "randperm", "asarray", "scalar_tensor"}
MODULES = {"Linear", "Embedding", "LayerNorm", "LSTM", "Bilinear", "Conv1d"}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return torch_paths.run(tmp_path_factory.mktemp("expected"))


@pytest.mark.slow
@pytest.mark.parametrize("settings", TOGETHER, ids=" + ".join)
def test_main_paths_do_not_depend_on_pytorch_settings(settings, expected, tmp_path):
    output = tmp_path / "found.npz"
    command = [sys.executable, "-m", "tests.torch_paths", str(output), *settings]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(output) as found:
        assert set(found) == set(expected)
        for name in expected:
            assert found[name].dtype == expected[name].dtype, name
            assert_allclose(found[name], expected[name], atol=1e-5, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_vectors_do_not_depend_on_the_default_dtype(dtype, precision):
    batch = WordBatch.from_sentences(SENTENCES)
    bilm = tiny_bilm()
    with torch.no_grad():
        layers = bilm(batch, precision=precision)
    try:
        torch.set_default_dtype(dtype)
        other = tiny_bilm()
        with torch.no_grad(), torch.device("meta"), torch.autocast("cpu", torch.bfloat16):
            found = other(batch, precision=precision)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {param.dtype for param in other.state_dict().values()} == {torch.float32}
    assert torch.equal(found, layers)


def test_tensors_are_created_with_dtype_and_outside_of_constructors_with_device():
    lacking = []
    for path in sorted(Path(spacy_elmo.__file__).parent.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf8"))
        for function in ast.walk(tree):
            if isinstance(function, (ast.FunctionDef, ast.Module)):
                lacking += [
                    f"{path.name}:{call.lineno}"
                    for call in calls_in(function)
                    if not has_dtype_and_device(call, getattr(function, "name", ""))
                ]
    assert not lacking


def calls_in(function):
    for statement in function.body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = ast.unparse(node.func.value)
                if (owner, node.func.attr) in CREATORS:
                    yield node


CREATORS = {("torch", name) for name in FACTORIES} | {("nn", name) for name in MODULES}


def has_dtype_and_device(call, function):
    given = {keyword.arg for keyword in call.keywords}
    in_module = function in ("", "__init__") or call.func.attr in MODULES
    return "dtype" in given and (in_module or "device" in given)


@pytest.fixture
def fresh_warning():
    torch_scope._warn_of_reduced_float32.cache_clear()
    yield
    torch.set_float32_matmul_precision("highest")
    torch_scope._warn_of_reduced_float32.cache_clear()


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_reduced_float32_precision_is_warned_about_once(precision, fresh_warning):
    bilm, batch = tiny_bilm(), WordBatch.from_sentences(SENTENCES)
    with torch.no_grad():
        expected = bilm(batch)
        torch.set_float32_matmul_precision(precision)
        bilm.drop_caches()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = [bilm(batch) for _ in range(2)]
    exact = torch.allclose(found[0], expected, atol=1e-6)
    assert len(caught) == (not exact)
    assert all("torch is set to multiply float32" in str(warning.message) for warning in caught)
    assert torch.equal(*found)
