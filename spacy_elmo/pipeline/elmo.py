"""The `elmo` component: its life cycle in a pipeline.

Owns when the biLM runs and who gets its output. How it runs is the encoder's
business, what is written on Docs that of `annotations`, and how gradients come
together that of `pending`.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.util import registry
from spacy.vocab import Vocab
from thinc.api import Config, Model, Optimizer

from ..models.encoder import Encoder, Settings, check_trainable, load_from, n_layers_of, shim_of
from ..models.layer_batch import BiLMLoader, LayerBatch, split_rows
from ..models.restoring import restored_on_error
from ..models.saved import REMEDY, SavedWhole
from ..models.scalar_mix import fixed_mix, mix_layers
from ..models.tok2vec_elmo import replace_listener_cfg
from . import annotations
from .doc_tensor import TensorSharing
from .output_cache import OutputCache
from .pending_batch import PendingBatch
from .upstream import ListenedTo, check_upstreams

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


UNHEARD = (
    "No component listens to '{name}', so none will be trained on its vectors. A component listens "
    "with a spacy-elmo.ElmoListener.v1 as the tok2vec of its model, and after '{name}' in the "
    "pipeline. `spacy init config` writes spacy.Tok2VecListener.v1 there, which listens to "
    "'tok2vec': replace its block, and remove 'tok2vec' if nothing else listens to it. If '{name}' "
    "is there for its vectors alone, leave it out of this training and add it later with "
    'nlp.add_pipe("elmo").initialize().'
)


@Language.factory(
    "elmo",
    assigns=["doc._.elmo", "token._.elmo", "span._.elmo", "doc.tensor"],
    default_config=Config().from_str(DEFAULT_CONFIG)["elmo"],
)
def make_elmo(
    nlp: Language,
    name: str,
    model: Model,
    frozen: bool,
    mix: list[float] | None,
    store_layers: bool,
    store_tensor: bool | None,
    cache_mb: int,
    loader: BiLMLoader | None,
) -> "Elmo":
    """Construct the `elmo` component.

    model (Model[List[Doc], LayerBatch]): The biLM, spacy-elmo.BiLM.v1.
    frozen (bool): Whether the biLM keeps its weights in training.
    mix (Optional[List[float]]): Weights of the layers in `doc.tensor`, before the
        softmax, the token layer first; equal if None.
    store_layers (bool): Whether to set `doc._.elmo`, which listeners read.
    store_tensor (Optional[bool]): Whether to set `doc.tensor`, which `token.vector` reads. None:
        unless a later component sets or reads it.
    cache_mb (int): Memory for layers kept across epochs while the biLM is frozen.
    loader (Optional[Callable[[], BiLM]]): Gives the biLM when the component is initialized, for
        example spacy-elmo.PretrainedLoader.v1; the packaged model if None.
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


class Elmo(ListenedTo, SavedWhole, TrainablePipe):
    """Contextual vectors from a bidirectional language model, shared by listeners.

    vocab (Vocab): The shared vocabulary.
    model (Model[List[Doc], LayerBatch]): The biLM.
    name (str): The component's name.
    frozen, mix, store_layers, store_tensor, cache_mb, loader: See `make_elmo`.

    DOCS: docs/api.md
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Encoder,
        name: str = "elmo",
        *,
        frozen: bool = True,
        mix: list[float] | None = None,
        store_layers: bool = True,
        store_tensor: bool | None = None,
        cache_mb: int = 1024,
        loader: BiLMLoader | None = None,
    ) -> None:
        if cache_mb < 0:
            raise ValueError(f"'cache_mb' of '{name}' is {cache_mb}; it must be 0 or more.")
        self.vocab = vocab
        self.model = model
        self.name = name
        self.cfg: dict[str, Any] = {}
        self.tensor_sharing = TensorSharing()
        self.listener_map = {}
        self.output_cache = OutputCache(cache_mb)
        self.frozen = frozen
        self.store_layers = store_layers
        self.store_tensor = store_tensor
        self.loader = loader
        self.mix = mix
        self._pending: PendingBatch | None = None
        self._warned_unheard = False
        annotations.install_extension()

    def __repr__(self) -> str:
        settings: Settings = self.model.attrs["settings"]
        weights = f"{shim_of(self.model).bilm.n_parameters:,} parameters" if self.loaded else None
        return (
            f"<Elmo {self.name!r}: width {self.model.get_dim('nO')}, depth "
            f"{n_layers_of(self.model) - 1}, {weights or 'no weights yet'}, "
            f"{'frozen' if self.frozen else 'trained'}, {settings.precision}>"
        )

    # Initialization

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]] | None = None,
        *,
        nlp: Language | None = None,
        loader: BiLMLoader | None = None,
    ) -> None:
        """Load the biLM's weights. Without arguments, this adds the component to a trained
        pipeline, whose other components `nlp.initialize()` would reset.

        get_examples (Optional[Callable[[], Iterable[Example]]]): Sample of the training data;
            not needed.
        nlp (Optional[Language]): The pipeline.
        loader (Optional[Callable[[], BiLM]]): Gives the biLM, for example
            spacy-elmo.PretrainedLoader.v1. If None, the loader that [initialize.components] of
            the pipeline names, else that of the component's config, else the packaged model.
        """
        if get_examples is not None:
            validate_get_examples(get_examples, "Elmo.initialize")
        if nlp is not None:
            self.tensor_sharing.join(nlp)
            check_upstreams(nlp)
            if any(user.reads for user in self.tensor_sharing.users.values()):
                self._warn_if_unheard()
        self.tensor_sharing.decide(self.name, self.store_tensor)
        load_from(self.model, loader or self._configured_loader() or self.loader)
        self._forget()

    def _configured_loader(self) -> BiLMLoader | None:
        """RETURNS (Optional[Callable[[], BiLM]]): What [initialize.components] names."""
        nlp = self.tensor_sharing.pipeline_of(self)
        if nlp is None:
            return None
        settings = nlp.config.interpolate()["initialize"]["components"].get(self.name, {})
        loader: BiLMLoader | None = registry.resolve({"loader": settings.get("loader")})["loader"]
        return loader

    # Prediction

    def predict(self, docs: Iterable[Doc]) -> LayerBatch:
        """Run the biLM. Docs and listeners are left alone.

        docs (Iterable[Doc]): The Docs; empty ones are fine.
        RETURNS (LayerBatch): All layers of all tokens.
        """
        docs = list(docs)
        if self.frozen and self.output_cache.in_use and not shim_of(self.model).swapped:
            return self.output_cache.predict(self.model, docs)
        batch: LayerBatch = self.model.predict(docs)
        return batch

    def set_annotations(self, docs: Sequence[Doc], batch: LayerBatch) -> None:
        """Store layers and vectors on Docs.

        docs (Sequence[Doc]): The Docs.
        batch (LayerBatch): What `predict` gave for them.
        """
        annotations.install_extension()
        sets_tensor = self.tensor_sharing.decide(self.name, self.store_tensor)
        if self.store_layers:
            for doc, layers in zip(docs, batch.split()):
                annotations.store_layers(doc, layers)
        if sets_tensor:
            weights = fixed_mix(self.model.ops, n_layers_of(self.model), self.mix)
            mixed = mix_layers(batch.layers, weights, 1.0)
            for doc, vectors in zip(docs, split_rows(mixed, batch.lengths)):
                annotations.store_tensor(doc, vectors)

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Annotate a stream, in runs of a bounded number of tokens.

        stream (Iterable[Doc]): The Docs.
        batch_size (int): Docs in a run at the most; runs also end when they have the
            biLM's `batch_tokens`.
        YIELDS (Doc): The Docs in their order.
        """
        error_handler = self.get_error_handler()
        settings: Settings = self.model.attrs["settings"]
        for docs in _runs(stream, batch_size, settings.batch_tokens):
            try:
                self.set_annotations(docs, self.predict(docs))
            except Exception as error:
                error_handler(self.name, self, docs, error)
            else:
                yield from docs

    # Training

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Run the biLM for the listeners, and collect their gradients if it is not frozen.

        examples (Iterable[Example]): The batch.
        drop (float): Unused: the biLM has no dropout of its own here.
        sgd (Optional[Optimizer]): Unused: `finish_update` takes the step.
        losses (Optional[Dict[str, float]]): Updated by the squared norm of the
            gradient that came back, 0 if the biLM is frozen.
        RETURNS (Dict[str, float]): The losses.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "Elmo.update")
        self.link_enabled()
        self.tensor_sharing.decide(self.name, self.store_tensor)
        self._warn_if_unheard()
        self._flush()
        docs = [example.predicted for example in examples]
        version, n_listeners = self.weights_version, len(self.listeners)
        if self.frozen:
            batch = self.output_cache.update(self.model, docs)
            pending = PendingBatch(docs, batch, n_listeners, None, version, self.name)
        else:
            batch, backprop = self.model.begin_update(docs)

            def backprop_and_log(batch: LayerBatch) -> None:
                backprop(batch)
                assert losses is not None and batch.d_layers is not None
                losses[self.name] += float((batch.d_layers**2).sum())

            pending = PendingBatch(docs, batch, n_listeners, backprop_and_log, version, self.name)
        self._pending = pending
        for listener in self.listeners:
            listener.receive(pending)
        return losses

    def finish_update(self, sgd: Optimizer) -> None:
        """Take a step with the gradients that listeners have reported; nothing if frozen."""
        self._flush()
        if not self.frozen:
            self.model.finish_update(sgd)

    def get_loss(self, examples: Iterable[Example], scores: Any) -> None:
        """There is no loss of its own."""

    def add_label(self, label: str) -> int:
        raise NotImplementedError("'elmo' has no labels: add them to the component that listens.")

    def _warn_if_unheard(self) -> None:
        """Warn once if no component learns from this one, as in what `spacy init config` writes."""
        if self.listeners or self._warned_unheard:
            return
        self._warned_unheard = True
        warnings.warn(UNHEARD.format(name=self.name), stacklevel=3)

    def _flush(self) -> None:
        """Take the gradients of the last batch through the biLM, if that is still to do."""
        if self._pending is None:
            return
        self._pending.flush()
        if self._pending.flushed or self._pending.complete:
            self._drop_pending()

    def _drop_pending(self) -> None:
        """Let go of the last batch, which may be large."""
        self._pending = None
        for listener in self.listeners:
            listener.pending = None

    # Serialization

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "Elmo":
        with self._explaining(f"What was saved of '{self.name}'"):
            super().from_bytes(bytes_data, exclude=exclude)
        self._forget()
        return self

    def from_disk(self, path: Any, *, exclude: Iterable[str] = ()) -> "Elmo":
        with self._explaining(str(path)):
            super().from_disk(path, exclude=exclude)
        self._forget()
        return self

    @contextmanager
    def _explaining(self, source: str) -> Iterator[None]:
        """Say in the words of the config if what was saved has other sizes."""
        width, depth = self.model.get_dim("nO"), n_layers_of(self.model) - 1
        sizes = f"the config of '{self.name}' says width = {width} and depth = {depth}"
        advice = "Leave both as they were saved."
        with restored_on_error(self.model):
            try:
                yield
            except ValueError as error:
                if "change dimension 'nO'" in str(error):  # thinc's, which names no component
                    raise ValueError(f"{source} has another width: {sizes}. {advice}") from error
                raise
            found = n_layers_of(self.model) - 1
            if found != depth:
                raise ValueError(f"{source} has depth {found}, but {sizes}. {advice}")

    def check_loaded(self, source: str, cfg: dict[str, Any]) -> None:
        if self.loaded:
            options = shim_of(self.model).bilm.options
            found = (options.width, options.n_layers)
            if found != (self.model.get_dim("nO"), n_layers_of(self.model) - 1):
                raise ValueError(f"{source} cannot be read: its sizes contradict. {REMEDY}")

    def _forget(self) -> None:
        """Drop what belongs to other weights, and check the language of the new ones."""
        shim_of(self.model).check_language(self.vocab.lang)
        self.output_cache.clear()
        self._drop_pending()

    @property
    def mix(self) -> list[float] | None:
        """RETURNS (Optional[List[float]]): Weights of the layers in `doc.tensor`. May be set at
        any time."""
        return self._mix

    @mix.setter
    def mix(self, mix: list[float] | None) -> None:
        if mix is not None and len(mix) != n_layers_of(self.model):
            raise ValueError(
                f"'mix' of '{self.name}' holds {len(mix)} numbers, but the biLM reports "
                f"{n_layers_of(self.model)} layers, the token layer included. Give one for each."
            )
        self._mix = mix

    @property
    def frozen(self) -> bool:
        """RETURNS (bool): Whether the biLM keeps its weights. May be set at any time."""
        return shim_of(self.model).frozen

    @frozen.setter
    def frozen(self, frozen: bool) -> None:
        check_trainable(self.model, frozen, f"'{self.name}'")
        shim_of(self.model).frozen = frozen
        # so that the config of a replaced listener says the same
        self.model.attrs["replace_listener_cfg"] = partial(replace_listener_cfg, frozen=frozen)
        self.output_cache.clear()  # the weights may have moved since

    @property
    def loaded(self) -> bool:
        """RETURNS (bool): Whether the biLM has weights."""
        return shim_of(self.model).loaded

    @property
    def weights_version(self) -> int:
        """RETURNS (int): Another number after each change of the biLM's weights."""
        return shim_of(self.model).bilm.weights_version


def _runs(stream: Iterable[Doc], max_docs: int, max_tokens: int) -> Iterator[list[Doc]]:
    """Consecutive Docs, at least one, until there are so many Docs or tokens."""
    docs: list[Doc] = []
    n_tokens = 0
    for doc in stream:
        docs.append(doc)
        n_tokens += len(doc)
        if len(docs) >= max_docs or n_tokens >= max_tokens:
            yield docs
            docs, n_tokens = [], 0
    if docs:
        yield docs
