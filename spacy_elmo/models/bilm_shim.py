"""The shim that holds the biLM within a thinc model."""

from thinc.api import Ops, get_current_ops

from ..bilm.bilm import BiLM
from ..bilm.languages import warn_of_language
from ..weights import store
from .torch_shim import TorchShim


class BiLMShim(TorchShim[BiLM]):
    """Holds a biLM, or None until its weights are loaded.

    device_name (Optional[str]): Device of the biLM, e.g. "cuda:0". None: the device of the ops.
    """

    def __init__(self, device_name: str | None = None) -> None:
        super().__init__(device_name)
        self.frozen = True  # a setting of the config, not saved with the weights
        self._checked_languages: set[str] = set()

    def not_loaded_message(self) -> str:
        return (
            "The biLM has no weights yet. In a new pipeline, call nlp.initialize(). In a trained "
            "pipeline, that would reset the other components: call "
            'nlp.get_pipe("elmo").initialize() instead. Both load the biLM from the loader in the '
            "config, or the packaged biLM if there is none. A saved pipeline contains its biLM."
        )

    def weights_changed(self) -> None:
        self.module.drop_caches()

    def set_module(self, module: BiLM, ops: Ops) -> None:
        super().set_module(module, ops)
        self._checked_languages.clear()

    def check_language(self, lang: str) -> None:
        """Warn once for each language that the biLM was not trained on.

        lang (str): Language of the pipeline or of its Docs.
        """
        if self._model is not None and lang not in self._checked_languages:
            self._checked_languages.add(lang)
            warn_of_language(self._model.languages, lang, "the language of the pipeline")

    def apply_frozen(self) -> None:
        """Make `requires_grad` of the weights agree with `frozen`."""
        if self.module.tokens.frozen != self.frozen:
            self.module.requires_grad_(not self.frozen)
            self.module.zero_grad()  # a later step must not apply gradients from before

    def to_bytes(self) -> bytes:
        return b"" if self._model is None else store.to_bytes(self._model)

    def from_bytes(self, bytes_data: bytes) -> "BiLMShim":
        """Load the biLM from the bytes that `to_bytes` returned; empty bytes change nothing.

        bytes_data (bytes): The bytes.
        RETURNS (BiLMShim): The shim.
        RAISES (ValueError): If the bytes are damaged.
        """
        if bytes_data:
            self.set_module(store.from_bytes(bytes_data), get_current_ops())
        return self
