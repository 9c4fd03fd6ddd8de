"""Ops that compute the GEMMs of thinc layers on the CPU with numpy's BLAS, and a callback that sets
them.

thinc multiplies matrices with BLIS on one core. numpy's BLAS uses all cores, and its kernels are
faster. If the layers of a frozen biLM are cached, the GEMMs of the components that listen to it
take most of the training time.
"""
# mypy: disallow-subclassing-any=False
# thinc's NumpyOps is compiled and has no types

from collections.abc import Callable
from multiprocessing import parent_process
from typing import Any

from spacy.language import Language
from thinc.api import Model, NumpyOps


class BlasOps(NumpyOps):
    """NumpyOps that compute GEMMs with numpy's BLAS. In a child process, such as a worker of
    `nlp.pipe`, they use BLIS, so that each process uses one core."""

    @property
    def use_blis(self) -> bool:
        # checked at each call: a pipeline may have been sent to another process
        return parent_process() is not None

    @use_blis.setter
    def use_blis(self, value: bool) -> None:
        pass


BLAS = BlasOps()


def make_use_blas_gemm() -> Callable[[Language], Language]:
    """Construct `spacy-elmo.use_blas_gemm.v1`, a callback for [nlp] after_pipeline_creation that
    makes the thinc layers of the pipeline compute GEMMs with numpy's BLAS, on all cores.

    RETURNS (Callable[[Language], Language]): `use_blas_gemm`.
    """
    return use_blas_gemm


def use_blas_gemm(nlp: Language, enabled: bool = True) -> Language:
    """Compute the GEMMs of all thinc layers of a pipeline that are on the CPU with numpy's BLAS.

    Vectors differ by rounding only. Layers with ops of another type are left unchanged.

    nlp (Language): The pipeline, whose layers are changed in place.
    enabled (bool): Whether to use numpy's BLAS. False restores thinc's ops.
    RETURNS (Language): The same pipeline.
    """
    for _, pipe in nlp.components:
        model = getattr(pipe, "model", None)
        if isinstance(model, Model):
            set_gemm(model, enabled)
    return nlp


def set_gemm(model: Model[Any, Any], use_blas: bool) -> None:
    """Set the ops of a model and all its layers. Ops of other types are left unchanged.

    model (Model): The model, which is changed in place.
    use_blas (bool): True replaces `NumpyOps` by `BlasOps`, False replaces `BlasOps` by `NumpyOps`.
    """
    before, ops = (NumpyOps, BLAS) if use_blas else (BlasOps, NumpyOps())
    for node in model.walk():
        if type(node.ops) is before:
            node.ops = ops
