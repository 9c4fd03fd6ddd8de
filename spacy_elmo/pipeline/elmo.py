"""The `elmo` component: initialization, prediction and training."""
# mypy: disallow-subclassing-any=False
# spaCy's TrainablePipe is compiled and has no types

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from spacy.language import Language
from spacy.pipeline import TrainablePipe
from spacy.tokens import Doc
from spacy.training import Example, validate_examples, validate_get_examples
from spacy.util import registry
from spacy.vocab import Vocab
from thinc.api import Optimizer

from ..models.encoder import (
    Encoder,
    check_trainable,
    load_from,
    n_layers_of,
    settings_of,
    shim_of,
)
from ..models.layer_batch import BiLMLoader, LayerBatch, split_docs
from ..models.scalar_mix import fixed_mix, mix_layers
from ..models.tok2vec_elmo import replace_listener_cfg
from . import annotations
from .doc_batches import batch_docs
from .doc_tensor import TensorSharing
from .elmo_serialization import ElmoSerializationMixin
from .output_cache import OutputCache
from .pending_batch import PendingBatch
from .upstream import UpstreamMixin, check_upstreams


class Elmo(UpstreamMixin, ElmoSerializationMixin, TrainablePipe):
    """Runs a bidirectional language model over Docs, and shares its layers with listeners.

    vocab (Vocab): The shared vocabulary.
    model (Model[List[Doc], LayerBatch]): The biLM.
    name (str): Name of the component.
    frozen, mix, store_layers, store_tensor, cache_mb, loader: See `make_elmo`.
    RAISES (ValueError): If `cache_mb` is negative, if `mix` does not have one weight for each
        layer, or if the biLM is not frozen and runs in int8.

    DOCS: docs/usage/elmo.md
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
        annotations.install_extension()

    def __repr__(self) -> str:
        weights = "no weights yet"
        if self.loaded:
            weights = f"{shim_of(self.model).module.n_parameters:,} parameters"
        return (
            f"<Elmo {self.name!r}: width {self.model.get_dim('nO')}, depth "
            f"{n_layers_of(self.model) - 1}, {weights}, "
            f"{'frozen' if self.frozen else 'trained'}, {settings_of(self.model).precision}>"
        )

    # Initialization

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]] | None = None,
        *,
        nlp: Language | None = None,
        loader: BiLMLoader | None = None,
    ) -> None:
        """Load the weights of the biLM.

        Call this method without arguments after adding the component to a trained pipeline, whose
        other components `nlp.initialize()` would reset.

        get_examples (Optional[Callable[[], Iterable[Example]]]): Returns a sample of the training
            data. It is validated but not used.
        nlp (Optional[Language]): The pipeline.
        loader (Optional[Callable[[], BiLM]]): Returns the biLM, for example
            spacy-elmo.PretrainedLoader.v1. If None: the loader in [initialize.components] of the
            pipeline's config, else the loader of the component's config, else the packaged biLM.
        RAISES (ValueError): If the biLM has other sizes than the config, or if a listener has no
            upstream component or cannot get its layers.
        """
        if get_examples is not None:
            validate_get_examples(get_examples, "Elmo.initialize")
        if nlp is not None:
            self.tensor_sharing.join(nlp)
            check_upstreams(nlp)
            if any(user.reads for user in self.tensor_sharing.users.values()):
                self.warn_if_no_listeners()
        self.tensor_sharing.decide(self.name, self.store_tensor)
        load_from(self.model, loader or self._configured_loader() or self.loader)
        self.reset_after_load()

    def _configured_loader(self) -> BiLMLoader | None:
        """RETURNS (Optional[Callable[[], BiLM]]): The loader in [initialize.components]."""
        nlp = self.tensor_sharing.pipeline_of(self)
        if nlp is None:
            return None
        settings = nlp.config.interpolate()["initialize"]["components"].get(self.name, {})
        loader: BiLMLoader | None = registry.resolve({"loader": settings.get("loader")})["loader"]
        return loader

    def reset_after_load(self) -> None:
        """Drop the layers of previous weights, and check the language of the new weights."""
        shim_of(self.model).check_language(self.vocab.lang)
        self.output_cache.clear()
        self.drop_pending()

    # Prediction

    def predict(self, docs: Iterable[Doc]) -> LayerBatch:
        """Run the biLM. The Docs are not changed.

        docs (Iterable[Doc]): The Docs, some of which may be empty.
        RETURNS (LayerBatch): All layers of all tokens.
        RAISES (ValueError): If the biLM has no weights yet, or if a vector is not finite.
        """
        docs = list(docs)
        if self.frozen and self.output_cache.in_use and not shim_of(self.model).swapped:
            return self.output_cache.predict(self.model, docs)
        batch: LayerBatch = self.model.predict(docs)
        return batch

    def set_annotations(self, docs: Sequence[Doc], batch: LayerBatch) -> None:
        """Set `doc._.elmo` and `doc.tensor`, depending on `store_layers` and `store_tensor`.

        docs (Sequence[Doc]): The Docs.
        batch (LayerBatch): The layers of the Docs, from `predict`.
        RAISES (ValueError): If a later component would read ELMo's vectors from `doc.tensor`
            instead of its own.
        """
        annotations.install_extension()
        sets_tensor = self.tensor_sharing.decide(self.name, self.store_tensor)
        if self.store_layers:
            for doc, layers in zip(docs, batch.split()):
                annotations.store_layers(doc, layers)
        if sets_tensor:
            weights = fixed_mix(self.model.ops, n_layers_of(self.model), self.mix)
            mixed = mix_layers(batch.layers, weights, 1.0)
            for doc, vectors in zip(docs, split_docs(mixed, batch.lengths)):
                annotations.store_tensor(doc, vectors)

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Annotate a stream of Docs. Errors are passed to the error handler of the pipeline.

        stream (Iterable[Doc]): The Docs.
        batch_size (int): Maximum number of Docs in a batch. A batch also ends when its number of
            tokens reaches the biLM's `batch_tokens`.
        YIELDS (Doc): The Docs in their order.
        """
        error_handler = self.get_error_handler()
        for docs in batch_docs(stream, batch_size, settings_of(self.model).batch_tokens):
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

        The gradients are summed. The backward pass of the biLM runs when all listeners have sent
        their gradients, or otherwise at the next `update` or `finish_update`.

        examples (Iterable[Example]): The batch.
        drop (float): Not used: the biLM has no dropout.
        sgd (Optional[Optimizer]): Not used: `finish_update` takes the step.
        losses (Optional[Dict[str, float]]): Losses by component, updated in place. The loss of
            this component is the squared norm of the gradient of the layers; 0 if the biLM is
            frozen.
        RETURNS (Dict[str, float]): The losses.
        RAISES (ValueError): If the biLM has no weights yet, or if a later component would read
            ELMo's vectors from `doc.tensor` instead of its own.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "Elmo.update")
        self.link_enabled()
        self.tensor_sharing.decide(self.name, self.store_tensor)
        self.warn_if_no_listeners()
        self.flush_pending()
        docs = [example.predicted for example in examples]
        version, n_listeners = self.weights_version, len(self.listeners)
        backprop: Callable[[LayerBatch], None] | None = None
        if self.frozen:
            batch = self.output_cache.update(self.model, docs)
        else:
            batch, backprop_bilm = self.model.begin_update(docs)

            def backprop_and_log(batch: LayerBatch) -> None:
                backprop_bilm(batch)
                assert losses is not None
                d_layers: Any = batch.d_layers
                losses[self.name] += float((d_layers**2).sum())

            backprop = backprop_and_log
        pending = PendingBatch(
            docs,
            batch,
            n_listeners=n_listeners,
            backprop=backprop,
            version=version,
            name=self.name,
        )
        self.send_to_listeners(pending)
        return losses

    def finish_update(self, sgd: Optimizer) -> None:
        """Take a step with the gradients of the listeners, unless the biLM is frozen.

        sgd (Optimizer): The optimizer.
        """
        self.flush_pending()
        if not self.frozen:
            self.model.finish_update(sgd)

    def get_loss(self, examples: Iterable[Example], scores: Any) -> None:
        """Do nothing: only the listening components have losses."""

    def add_label(self, label: str) -> int:
        """RAISES (NotImplementedError): Always: the component has no labels."""
        raise NotImplementedError("'elmo' has no labels: add them to the component that listens.")

    # Settings and state

    @property
    def mix(self) -> list[float] | None:
        """RETURNS (Optional[List[float]]): Weights of the layers in `doc.tensor`. May be set at
        any time."""
        return self._mix

    @mix.setter
    def mix(self, mix: list[float] | None) -> None:
        if mix is not None and len(mix) != n_layers_of(self.model):
            raise ValueError(
                f"'mix' of '{self.name}' holds {len(mix)} numbers, but the biLM returns "
                f"{n_layers_of(self.model)} layers, the token layer included. Give one number for "
                f"each layer."
            )
        self._mix = mix

    @property
    def frozen(self) -> bool:
        """RETURNS (bool): Whether the weights of the biLM stay fixed. May be set at any time."""
        return shim_of(self.model).frozen

    @frozen.setter
    def frozen(self, frozen: bool) -> None:
        check_trainable(self.model, frozen, f"'{self.name}'")
        shim_of(self.model).frozen = frozen
        # the config block of a replaced listener must have the same setting
        self.model.attrs["replace_listener_cfg"] = partial(replace_listener_cfg, frozen=frozen)
        self.output_cache.clear()  # the weights may have changed in the meantime

    @property
    def loaded(self) -> bool:
        """RETURNS (bool): Whether the biLM has weights."""
        return shim_of(self.model).loaded

    @property
    def weights_version(self) -> int:
        """RETURNS (int): A number that changes whenever the weights of the biLM change."""
        return shim_of(self.model).module.weights_version
