"""The registered architectures. Builders only; what they build is in other modules."""

from spacy.tokens import Doc
from thinc.api import Maxout, Model, chain, with_array

from ..bilm.bilm import MAX_TOKENS
from ..bilm.run_settings import check_precision, check_start_state
from ..text.segments import Segmenter, make_punct_segments
from .blas_ops import set_gemm
from .chunked import in_blocks
from .concatenate import side_by_side
from .encoder import BiLMEncoder, Encoder, Settings
from .layer_batch import BiLMLoader, Floats2d
from .tok2vec_elmo import Standalone, mix_for, replace_listener, replace_listener_cfg


def build_bilm_v1(
    width: int,
    depth: int = 2,
    segmenter: Segmenter | None = None,
    start_state: str = "warm",
    precision: str = "float32",
    batch_tokens: int = MAX_TOKENS,
    device: str | None = None,
) -> Encoder:
    """The biLM: Docs in, all layers out. Opens no file; weights are loaded by
    `nlp.initialize()` or with a saved pipeline, and bring all other sizes with them.

    width (int): Width of a layer, twice the projection of one direction.
    depth (int): Number of LSTM layers.
    segmenter (Optional[Callable[[Doc], Ints1d]]): Where the biLM's sentences start;
        spacy-elmo.punct_segments.v1 if None.
    start_state (str): State at the start of a segment, "warm" or "zero".
    precision (str): "float32" (exact), or "bfloat16" or "int8" (faster where the processor has
        it, int8 on a CPU and with a frozen biLM alone).
    batch_tokens (int): Tokens that are run at once; bounds the memory.
    device (Optional[str]): Where the biLM runs, e.g. "cuda:0"; where the rest of the
        pipeline runs if None.
    CREATES (Model[List[Doc], LayerBatch]): The model.
    """
    check_start_state(start_state)
    check_precision(precision)
    if batch_tokens < 1:
        raise ValueError(f"'batch_tokens' is {batch_tokens}; it must be at least 1.")
    settings = Settings(segmenter or make_punct_segments(), start_state, precision, batch_tokens)
    model = BiLMEncoder(width, depth, settings, device)
    model.attrs["replace_listener"] = replace_listener
    model.attrs["replace_listener_cfg"] = replace_listener_cfg
    return model


def build_concat_embed_v1(
    width: int | None,
    elmo: Model[list[Doc], list[Floats2d]],
    embed: Model[list[Doc], list[Floats2d]],
) -> Model[list[Doc], list[Floats2d]]:
    """ELMo beside trained word features, for the `embed` of spacy.Tok2Vec.v2 or for a head.

    width (Optional[int]): Width of the output: that of the encoder above it, if there is one.
    elmo (Model[List[Doc], List[Floats2d]]): A listener, or spacy-elmo.Tok2VecElmo.v1.
    embed (Model[List[Doc], List[Floats2d]]): The word features, for example
        spacy.MultiHashEmbed.v2.
    CREATES (Model[List[Doc], List[Floats2d]]): Both side by side; with a width, brought to it
        by a maxout layer with layer normalization.
    """
    both: Model[list[Doc], list[Floats2d]] = side_by_side(elmo, embed)
    if width is None:
        return both
    reduce: Model[list[Floats2d], list[Floats2d]] = with_array(
        in_blocks(Maxout(nO=width, nP=3, dropout=0.0, normalize=True))
    )
    set_gemm(reduce, use_blas=True)
    model: Model[list[Doc], list[Floats2d]] = chain(both, reduce)
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
) -> Model[list[Doc], list[Floats2d]]:
    """A biLM and a mix inside of one component, without an `elmo` component. Also what
    `nlp.replace_listeners` puts in the place of a listener.

    elmo (Model[List[Doc], LayerBatch]): The biLM, spacy-elmo.BiLM.v1.
    frozen (bool): Whether the biLM keeps its weights in training.
    top_only, weights, dropout, layer_norm, l2: As for spacy-elmo.ElmoListener.v1.
    loader (Optional[Callable[[], BiLM]]): Where `nlp.initialize()` takes the weights
        from, e.g. spacy-elmo.PretrainedLoader.v1; the packaged model if None.
    CREATES (Model[List[Doc], List[Floats2d]]): The model.
    """
    mix = mix_for(
        elmo, top_only=top_only, weights=weights, dropout=dropout, layer_norm=layer_norm, l2=l2
    )
    return Standalone(elmo, mix, frozen, loader)
