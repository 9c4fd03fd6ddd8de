"""Registered architectures: the biLM, the biLM with a mix, and ELMo vectors with word features."""

from thinc.api import Maxout, Model, chain, with_array
from thinc.types import Floats2d

from ..bilm.bilm import MAX_TOKENS
from ..bilm.run_settings import check_precision, check_start_state
from ..text.segments import Segmenter, make_punct_segments
from .blas_ops import set_gemm
from .chunked import chunked_predict
from .concatenate import concatenate_vectors
from .encoder import BiLMEncoder, Encoder, EncoderSettings
from .layer_batch import BiLMLoader
from .tok2vec_elmo import Tok2VecElmo, make_mix, replace_listener, replace_listener_cfg
from .token_reader import Tok2Vec


def build_bilm_v1(
    width: int,
    depth: int = 2,
    segmenter: Segmenter | None = None,
    start_state: str = "warm",
    precision: str = "float32",
    batch_tokens: int = MAX_TOKENS,
    device: str | None = None,
) -> Encoder:
    """Construct `spacy-elmo.BiLM.v1`: the biLM, which takes Docs and returns all layers. No file
    is opened. The weights are loaded by `nlp.initialize()` or with a saved pipeline, and determine
    all other sizes.

    width (int): Width of a layer, twice the projection of one direction.
    depth (int): Number of LSTM layers.
    segmenter (Optional[Callable[[Doc], Ints1d]]): Returns the tokens at which the biLM's segments
        start; spacy-elmo.punct_segments.v1 if None.
    start_state (str): State at the start of each segment: "warm", a constant that is computed once
        from the weights and saved with them, or "zero".
    precision (str): Precision of the matrix products of the LSTMs: "float32", "bfloat16" or "int8".
        The latter two are faster on processors with instructions for them; "int8" needs a CPU and
        a frozen biLM. States and elementwise arithmetic stay in float32.
    batch_tokens (int): Maximum number of tokens in a batch of the biLM. It bounds the memory of all
        tensors except the output.
    device (Optional[str]): Device of the biLM, e.g. "cuda:0". None: the device of the pipeline.
    CREATES (Model[List[Doc], LayerBatch]): The model.
    RAISES (ValueError): If a setting has a value that is not listed here.
    """
    check_start_state(start_state)
    check_precision(precision)
    if batch_tokens < 1:
        raise ValueError(f"'batch_tokens' is {batch_tokens}; it must be at least 1.")
    settings = EncoderSettings(
        segmenter or make_punct_segments(), start_state, precision, batch_tokens
    )
    model = BiLMEncoder(width, depth, settings, device)
    model.attrs["replace_listener"] = replace_listener
    model.attrs["replace_listener_cfg"] = replace_listener_cfg
    return model


def build_concat_embed_v1(width: int | None, elmo: Tok2Vec, embed: Tok2Vec) -> Tok2Vec:
    """Construct `spacy-elmo.ConcatEmbed.v1`: ELMo vectors concatenated with trained word features,
    for the `embed` of spacy.Tok2Vec.v2 or for a head.

    width (Optional[int]): Width of the output, which a maxout layer with layer normalization
        computes. None: return the concatenated vectors.
    elmo (Model[List[Doc], List[Floats2d]]): A listener, or spacy-elmo.Tok2VecElmo.v1.
    embed (Model[List[Doc], List[Floats2d]]): The word features, e.g. spacy.MultiHashEmbed.v2.
    CREATES (Model[List[Doc], List[Floats2d]]): The model.
    """
    both = concatenate_vectors(elmo, embed)
    if width is None:
        return both
    reduce: Model[list[Floats2d], list[Floats2d]] = with_array(
        chunked_predict(Maxout(nO=width, nP=3, dropout=0.0, normalize=True))
    )
    set_gemm(reduce, use_blas=True)
    model: Tok2Vec = chain(both, reduce)
    model.set_dim("nO", width)
    return model


def build_tok2vec_elmo_v1(
    elmo: Encoder,
    frozen: bool = True,
    top_only: bool = False,
    weights: list[float] | None = None,
    dropout: float = 0.0,
    layer_norm: bool = False,
    l2: float = 0.0,
    loader: BiLMLoader | None = None,
) -> Tok2Vec:
    """Construct `spacy-elmo.Tok2VecElmo.v1`: a biLM and a mix in one component, without an `elmo`
    component. `nlp.replace_listeners` replaces a listener by this model.

    elmo (Model[List[Doc], LayerBatch]): The biLM, spacy-elmo.BiLM.v1.
    frozen (bool): Whether the weights of the biLM stay fixed in training.
    top_only (bool): Whether to use only the top layer, scaled by gamma.
    weights (Optional[List[float]]): Fixed weights of the layers before the softmax, one for each
        layer, the token layer first. The mix then has no trained parameters. A weight of -9e10
        excludes a layer.
    dropout (float): Dropout rate of the mixed vectors in training; `training.dropout` has no effect
        on it.
    layer_norm (bool): Whether to normalize each layer of each token to mean 0 and variance 1 before
        the mix. The original implementation uses one mean and variance for the whole batch; here
        vectors do not depend on the batch.
    l2 (float): Strength λ of the penalty `λ * sum(w ** 2)`, which pulls the weights of the layers
        towards equal weights. It does not include gamma.
    loader (Optional[Callable[[], BiLM]]): Returns the biLM for `nlp.initialize()`, e.g.
        spacy-elmo.PretrainedLoader.v1. None: keep weights that are already loaded, as in a saved
        pipeline or after a listener was replaced; if there are none, load the packaged biLM. Set a
        loader in a config that is used for several trainings, so that all start from the same
        weights.
    CREATES (Model[List[Doc], List[Floats2d]]): The model.
    RAISES (ValueError): If the biLM is not frozen and runs in int8, or if the settings of the mix
        are invalid; see `ScalarMix`.
    """
    mix = make_mix(
        elmo, top_only=top_only, weights=weights, dropout=dropout, layer_norm=layer_norm, l2=l2
    )
    return Tok2VecElmo(elmo, mix, frozen, loader)
