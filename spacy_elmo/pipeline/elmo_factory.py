"""The factory of the `elmo` component and its default config."""

from spacy.language import Language
from thinc.api import Config

from ..models.encoder import Encoder
from ..models.layer_batch import BiLMLoader
from .elmo import Elmo

DEFAULT_CONFIG = """
[elmo]
frozen = true
mix = null
store_layers = true
store_tensor = null
cache_mb = 1024
loader = null

[elmo.model]
@architectures = "spacy-elmo.BiLM.v1"
width = 512
depth = 2
segmenter = {"@misc": "spacy-elmo.punct_segments.v1"}
start_state = "warm"
precision = "float32"
batch_tokens = 8192
device = null
"""


@Language.factory(
    "elmo",
    assigns=["doc._.elmo", "token._.elmo", "span._.elmo", "doc.tensor"],
    default_config=Config().from_str(DEFAULT_CONFIG)["elmo"],
)
def make_elmo(
    nlp: Language,
    name: str,
    model: Encoder,
    frozen: bool,
    mix: list[float] | None,
    store_layers: bool,
    store_tensor: bool | None,
    cache_mb: int,
    loader: BiLMLoader | None,
) -> Elmo:
    """Construct the component `elmo`: contextual vectors from a bidirectional language model, which
    listeners share.

    nlp (Language): The pipeline.
    name (str): Name of the component.
    model (Model[List[Doc], LayerBatch]): The biLM, spacy-elmo.BiLM.v1.
    frozen (bool): Whether the weights of the biLM stay fixed in training. If true, no gradients are
        computed. The attribute `frozen` of the component can be set at any time, but is not saved:
        a saved pipeline contains the value of the config.
    mix (Optional[List[float]]): Weights of the layers in `doc.tensor` before the softmax, the
        token layer first; equal weights if None.
    store_layers (bool): Whether to set `doc._.elmo`, which listeners read at prediction.
    store_tensor (Optional[bool]): Whether to set `doc.tensor`, from which spaCy computes
        `token.vector`. None: set it unless a later component sets or reads it, with one warning.
    cache_mb (int): Memory in MB for the layers of training and dev Docs, which are cached across
        epochs while the biLM is frozen; 0 disables the cache. If the pipeline runs on a GPU, the
        cache is in GPU memory. Layers that do not fit are computed each time, and all layers are
        dropped when the weights change. The cache is used from the first `update` on; dev Docs are
        stored when they are predicted for the second time.
    loader (Optional[Callable[[], BiLM]]): Returns the biLM when the component is initialized, for
        example spacy-elmo.PretrainedLoader.v1; the packaged biLM if None. A loader in
        [initialize.components] of the config has priority.
    RETURNS (Elmo): The component.
    RAISES (ValueError): If `cache_mb` is negative, if `mix` does not have one weight for each
        layer, or if the biLM is not frozen and runs in int8.
    """
    elmo = Elmo(
        nlp.vocab,
        model,
        name,
        frozen=frozen,
        mix=mix,
        store_layers=store_layers,
        store_tensor=store_tensor,
        cache_mb=cache_mb,
        loader=loader,
    )
    elmo.tensor_sharing.join(nlp)
    return elmo
