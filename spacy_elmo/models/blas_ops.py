"""GEMMs of thinc layers on the CPU by numpy's BLAS, where a config asks for them.

thinc multiplies matrices with BLIS on one core. numpy's BLAS uses all cores, and its kernels are
faster. While a frozen biLM's layers are cached, the GEMMs of the components that listen to it take
most of the training time.
"""

from collections.abc import Callable
from multiprocessing import parent_process

from spacy.language import Language
from thinc.api import Model, NumpyOps


class BlasOps(NumpyOps):
    """NumpyOps whose GEMMs are numpy's. In a child process, such as a worker of `nlp.pipe`, the
    GEMMs are BLIS's: there each process has one core."""

    @property
    def use_blis(self) -> bool:
        # checked at each call: a pipeline is sent to a process that was just started
        return parent_process() is not None

    @use_blis.setter
    def use_blis(self, value: bool) -> None:
        pass


BLAS = BlasOps()


def make_use_blas_gemm() -> Callable[[Language], Language]:
    """Construct `spacy-elmo.use_blas_gemm.v1`, a callback for [nlp] after_pipeline_creation.

    RETURNS (Callable[[Language], Language]): `use_blas_gemm`.
    """
    return use_blas_gemm


def use_blas_gemm(nlp: Language, enabled: bool = True) -> Language:
    """Compute the GEMMs of all thinc layers of a pipeline that are on the CPU by numpy's BLAS.

    Vectors differ by rounding only. Layers with ops of another type are left unchanged.

    nlp (Language): The pipeline, whose layers are changed in place.
    enabled (bool): False to undo it.
    RETURNS (Language): The same pipeline.
    """
    for _, pipe in nlp.components:
        model = getattr(pipe, "model", None)
        if isinstance(model, Model):
            set_gemm(model, enabled)
    return nlp


def set_gemm(model: Model, use_blas: bool) -> None:
    """Set the ops of a model and of all layers in it; see `use_blas_gemm`."""
    before, ops = (NumpyOps, BLAS) if use_blas else (BlasOps, NumpyOps())
    for node in model.walk():
        if type(node.ops) is before:
            node.ops = ops
