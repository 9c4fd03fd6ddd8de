"""A biLM with its softmax and vocabulary, which are trained, saved and loaded as one model."""

import json
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from ..bilm.bilm import BiLM
from ..bilm.layers import State
from ..bilm.token_embedder import Spelling
from ..files.paths import PathLike
from ..files.tensor_file import TensorFile
from ..lstm.lstm import LSTMLayer
from ..runtime.torch_scope import own_random_state, own_training_settings
from ..weights import load_bilm, store
from ..weights.build import check_finite, check_shapes
from .lm_files import HEAD, NAMES, VOCAB, is_language_model
from .lm_head import LMHead, make_head
from .sampler import Sample
from .softmax import sampled_cross_entropy
from .vocab import Vocab

CHUNK_WORDS = 4096

Params = list[nn.Parameter]


class LanguageModel(nn.Module):
    """Predict each word from the words before it, and from the words after it.

    bilm (BiLM): The biLM.
    head (LMHead): The softmax, shared by both directions.
    vocab (Vocab): The word of each class.
    RAISES (ValueError): If softmax and vocabulary differ in size.
    """

    def __init__(self, bilm: BiLM, head: LMHead, vocab: Vocab) -> None:
        super().__init__()
        if head.n_words != len(vocab):
            raise ValueError(
                f"The softmax has {head.n_words} classes, but the vocabulary {len(vocab)} words."
            )
        self.bilm, self.head, self.vocab = bilm, head, vocab

    @classmethod
    @own_training_settings()
    def load(cls, path: PathLike) -> "LanguageModel":
        """Load a language model that `save` wrote.

        path (str | Path): The directory.
        RETURNS (LanguageModel): The model, frozen, on the CPU.
        RAISES (ValueError): If the directory lacks the softmax or the vocabulary, or a file is
            damaged or belongs to another model.
        """
        path = Path(path)
        if not is_language_model(path):
            raise ValueError(
                f"{path} holds no language model: {HEAD} or {VOCAB} is missing. Weights converted "
                f"from other formats have no softmax; `spacy elmo pretrain` writes both files."
            )
        bilm = load_bilm(path)
        vocab = Vocab.from_file(path / VOCAB)
        store.check(path, VOCAB)
        source = str(path / HEAD)
        file = TensorFile(path / HEAD, source, known=(store.METADATA,))
        try:
            cutoffs = json.loads(file.metadata[store.METADATA])["cutoffs"]
            with own_random_state():
                head = make_head(len(vocab), bilm.options.projection_dim, cutoffs)
        except (ValueError, KeyError, TypeError, RuntimeError, RecursionError) as error:
            raise ValueError(f"{source} is not a complete softmax file: {error}.") from error
        expected = {name: tuple(x.shape) for name, x in head.state_dict().items()}
        check_shapes(file.tensors, expected, source)
        store.check(path, HEAD)
        check_finite(file.tensors, source)
        head.load_state_dict(file.tensors)
        return cls(bilm, head.requires_grad_(False), vocab)

    @property
    def device(self) -> torch.device:
        return self.bilm.device

    def parameter_groups(self) -> tuple[Params, Params, Params]:
        """Group the parameters for an optimizer that treats matrices separately.

        RETURNS (tuple[list[Parameter], ...]): Vectors and embeddings; matrices between layers; and
            the matrices of the LSTM gates.
        """
        matrices: Params = []
        gates: Params = []
        tokens = self.bilm.tokens
        dense: list[nn.Module] = [] if tokens.projection is None else [tokens.projection]
        dense += [] if tokens.char_cnn is None else [*tokens.char_cnn.highways]
        for module in dense:
            matrices += [param for param in module.parameters() if param.dim() == 2]
        for layer in self.bilm.layers:
            assert isinstance(layer, LSTMLayer)
            gates += [layer.input_weight, layer.state_weight]
            matrices += [] if layer.projection is None else [layer.projection]
        grouped = {id(param) for param in (*matrices, *gates)}
        others = [param for param in self.parameters() if id(param) not in grouped]
        return others, matrices, gates

    def embed(self, spelling: Spelling, precision: str = "float32") -> Tensor:
        """Return the token vectors of words.

        spelling (Spelling): The words.
        precision (str): "float32", or "bfloat16" for matrix products in bfloat16.
        RETURNS (Tensor): float32 [n_words, P].
        """
        half = precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            return self.bilm.tokens.embed(spelling).float()

    def word_table(self, words: list[str], precision: str = "float32") -> Tensor:
        """Return the token vectors of the two boundary words and of other words, computed in
        chunks of `CHUNK_WORDS` words.

        words (list[str]): The other words.
        precision (str): As for `embed`.
        RETURNS (Tensor): float32 [2 + n_words, P].
        """
        spelling = self.bilm.tokens.spell(words)
        starts = range(0, 2 + len(words), CHUNK_WORDS)
        return torch.cat([self.embed(spelling[i : i + CHUNK_WORDS], precision) for i in starts])

    def look_up(self, table: Tensor, places: Tensor) -> Tensor:
        """Look up the token vectors that the layers read.

        table (Tensor): Token vectors [n_words, P].
        places (Tensor): Row of the table for each position, int64 [n_directions, R].
        RETURNS (Tensor): float32 [n_directions, R, P].
        """
        # index_select has a much faster backward pass than indexing
        return table.index_select(0, places.flatten()).view(*places.shape, -1)

    def outputs(
        self,
        x: Tensor,
        active: list[int],
        state: State,
        precision: str = "float32",
        dropout: float = 0.0,
    ) -> tuple[Tensor, State]:
        """Run the layers over packed rows.

        x (Tensor): Token vectors of the words read, float32 [n_directions, R, P].
        active (list[int]): Active rows at each step; they sum to R.
        state (State): States of the rows before the first step.
        precision (str): "float32"; "bfloat16" for matrix products in bfloat16; "int8" for the
            matrix products of the LSTMs in int8, on a CPU and without gradients.
        dropout (float): Dropout rate of the inputs of each layer and of the outputs.
        RETURNS (tuple[Tensor, State]): Outputs of the top layer, float32 [n_directions, R, P], and
            the states after the last step.
        """
        layers, state = self.bilm.run_layers(x, active, state, precision=precision, dropout=dropout)
        top = nn.functional.dropout(layers[-1], dropout) if dropout else layers[-1]
        return top, state

    def losses(
        self,
        x: Tensor,
        targets: Tensor,
        active: list[int],
        state: State,
        precision: str = "float32",
        dropout: float = 0.0,
        samples: list[Sample] | None = None,
    ) -> tuple[Tensor, State]:
        """Compute the loss of each direction.

        x, active, state, precision, dropout: As for `outputs`.
        targets (Tensor): Class to predict at each position, int64 [n_directions, R].
        samples (list[Sample] | None): The samples of each direction for the sampled softmax; None
            for the full or the adaptive softmax.
        RETURNS (tuple[Tensor, State]): Mean negative log-likelihood of each direction
            [n_directions], and the states after the last step.
        """
        top, state = self.outputs(x, active, state, precision=precision, dropout=dropout)
        dtype = torch.bfloat16 if precision == "bfloat16" else None
        losses: list[Tensor] = []
        for d, (h, classes) in enumerate(zip(top, targets)):
            if samples is None:
                losses.append(self.head(h, classes, dtype))
                continue
            loss = sampled_cross_entropy(
                h,
                self.head.weight,
                self.head.bias,
                classes,
                samples=samples[d].classes,
                corrections=samples[d].corrections,
                dtype=dtype,
            )
            losses.append(loss)
        return torch.stack(losses) / targets.shape[1], state

    def forward(
        self,
        spelling: Spelling,
        places: Tensor,
        targets: Tensor,
        active: list[int],
        state: State,
        precision: str = "float32",
        dropout: float = 0.0,
        samples: list[Sample] | None = None,
    ) -> tuple[Tensor, State]:
        """Embed words and compute the loss of each direction.

        spelling (Spelling): The distinct words read.
        places (Tensor): Index into these words for each position, int64 [n_directions, R].
        targets, active, state, precision, dropout, samples: As for `losses`.
        RETURNS (tuple[Tensor, State]): As for `losses`.
        """
        x = self.look_up(self.embed(spelling, precision), places)
        return self.losses(
            x, targets, active, state, precision=precision, dropout=dropout, samples=samples
        )

    def save(self, path: PathLike) -> None:
        """Write a directory, atomically. The directory can also be loaded as a biLM.

        path (str | Path): The directory; replaced if it holds a biLM.
        RAISES (ValueError): If the directory holds anything other than a biLM or a language model.
        """

        def write_head(folder: Path) -> None:
            head = self.head.state_dict()
            tensors = {name: x.detach().cpu().contiguous() for name, x in head.items()}
            config = json.dumps({"cutoffs": list(self.head.cutoffs)})
            safetensors.torch.save_file(tensors, folder / HEAD, {store.METADATA: config})
            self.vocab.to_file(folder / VOCAB)

        store.write(
            self.bilm, path, extras=write_head, extra_names=NAMES, start=self.bilm.warm_start()
        )
