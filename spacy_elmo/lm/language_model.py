"""A biLM with its softmax and vocabulary: what is trained, saved and asked for
probabilities.

Owns how words read and words to predict become losses, and the files beside the biLM's
own. Where words come from and what happens with the gradients is not known here.
"""

import json
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from ..bilm.bilm import BiLM
from ..bilm.layers import State
from ..bilm.token_embedder import Spelling
from ..files.paths import PathLike
from ..files.tensor_file import TensorFile
from ..lstm.lstm import LSTMLayer
from ..runtime.torch_scope import own_random_state, own_torch_settings
from ..weights import load_bilm, store
from ..weights.build import check_finite, check_shapes
from .lm_head import LMHead, make_head
from .sampler import Sample
from .softmax import sampled_cross_entropy
from .vocab import Vocab

WORDS_AT_ONCE = 4096

Weights = list[nn.Parameter]


class LanguageModel(nn.Module):
    """Predicts each word from those before it, and from those after it.

    bilm (BiLM): The layers.
    head (LMHead): The softmax, shared by both directions.
    vocab (Vocab): The words that the classes stand for.
    """

    def __init__(self, bilm: BiLM, head: LMHead, vocab: Vocab) -> None:
        super().__init__()
        if head.n_words != len(vocab):
            raise ValueError(
                f"The softmax has {head.n_words} classes, but the vocabulary {len(vocab)} words."
            )
        self.bilm, self.head, self.vocab = bilm, head, vocab

    @property
    def device(self) -> torch.device:
        return self.bilm.device

    def kinds_of_weights(self) -> tuple[Weights, Weights, Weights]:
        """RETURNS (Tuple[List[nn.Parameter], ...]): What an optimizer may treat differently:
        all others, matrices that lead from layer to layer, and those of an LSTM's gates."""
        tokens = self.bilm.tokens
        dense = [] if tokens.projection is None else [tokens.projection]
        dense += [] if tokens.char_cnn is None else [*tokens.char_cnn.highways]
        matrices = [param for part in dense for param in part.parameters() if param.dim() == 2]
        gates: Weights = []
        for layer in self.bilm.layers:
            assert isinstance(layer, LSTMLayer)
            gates += [layer.input_weight, layer.state_weight]
            matrices += [] if layer.projection is None else [layer.projection]
        known = {id(param) for param in (*matrices, *gates)}
        return [param for param in self.parameters() if id(param) not in known], matrices, gates

    def embed(self, spelling: Spelling, precision: str = "float32") -> Tensor:
        """RETURNS (Tensor): Vectors of words, float32 [n_words, P]."""
        half = precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            return self.bilm.tokens.embed(spelling).float()

    def word_table(self, words: list[str], precision: str = "float32") -> Tensor:
        """RETURNS (Tensor): Vectors of the words around a sentence and of others
        [2 + n_words, P], made a part at a time."""
        spelling = self.bilm.tokens.spell(words)
        starts = range(0, 2 + len(words), WORDS_AT_ONCE)
        return torch.cat([self.embed(spelling[i : i + WORDS_AT_ONCE], precision) for i in starts])

    def look_up(self, table: Tensor, places: Tensor) -> Tensor:
        """RETURNS (Tensor): Inputs of the layers [n_directions, R, P].

        table (Tensor): Vectors of words [n_words, P].
        places (Tensor): Which of them each position reads, int64 [n_directions, R].
        """
        # the backward pass of index_select is far faster than that of indexing
        return table.index_select(0, places.flatten()).view(*places.shape, -1)

    def outputs(
        self,
        x: Tensor,
        active: list[int],
        state: State,
        precision: str = "float32",
        dropout: float = 0.0,
    ) -> tuple[Tensor, State]:
        """The top layer over packed rows.

        x (Tensor): Vectors of the words read [n_directions, R, P].
        active (List[int]): Rows running at each step; they sum to R.
        state (State): The rows' states before the first step.
        precision (str): "float32", or "bfloat16" for the matrix products; "int8" for those of
            the LSTMs, on a CPU and without gradients.
        dropout (float): Share of each layer's inputs, and of the outputs, to drop.
        RETURNS (Tuple[Tensor, State]): float32 [n_directions, R, P] and the states after it.
        """
        layers, state = self.bilm.run_layers(x, active, state, precision, dropout)
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
        """Losses of the directions. Parameters as for `outputs`, and:

        targets (Tensor): The class that follows each position, int64 [n_directions, R].
        samples (Optional[List[Sample]]): The classes that each direction's targets are told
            from, where these are not all.
        RETURNS (Tuple[Tensor, State]): Mean negative log-likelihood of each direction
            [n_directions], and the states after the last step.
        """
        top, state = self.outputs(x, active, state, precision, dropout)
        dtype = torch.bfloat16 if precision == "bfloat16" else None
        losses: list[Tensor] = []
        for d, (h, follows) in enumerate(zip(top, targets)):
            if samples is None:
                losses.append(self.head(h, follows, dtype))
                continue
            weight, bias = self.head.weight, self.head.bias
            sample = samples[d].classes, samples[d].corrections
            losses.append(sampled_cross_entropy(h, weight, bias, follows, *sample, dtype))
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
        """As `losses`, from words as they are spelled.

        spelling (Spelling): The words that are read.
        places (Tensor): Which of them each position reads, int64 [n_directions, R].
        """
        x = self.look_up(self.embed(spelling, precision), places)
        return self.losses(x, targets, active, state, precision, dropout, samples)

    def save(self, path: PathLike) -> None:
        """Write a directory that loads as a biLM everywhere, with `lm_head.safetensors` and
        `vocab.txt` beside the biLM's files; whole or not at all.

        path (Union[str, Path]): The directory; replaced if there is a biLM in it.
        """

        def write_head(folder: Path) -> None:
            tensors = {name: x.detach().cpu().contiguous() for name, x in self.head_tensors()}
            config = json.dumps({"cutoffs": list(self.head.cutoffs)})
            safetensors.torch.save_file(tensors, folder / store.HEAD, {store.METADATA: config})
            self.vocab.to_file(folder / store.VOCAB)

        store.write(self.bilm, path, extras=write_head, start=self.bilm.warm_start())

    def head_tensors(self) -> list[tuple[str, Tensor]]:
        return list(self.head.state_dict().items())

    @staticmethod
    def is_saved(path: PathLike) -> bool:
        """RETURNS (bool): Whether a directory holds a softmax and a vocabulary."""
        return (Path(path) / store.HEAD).is_file() and (Path(path) / store.VOCAB).is_file()

    @classmethod
    @own_torch_settings()
    def load(cls, path: PathLike) -> "LanguageModel":
        """Read what `save` wrote.

        path (Union[str, Path]): The directory.
        RETURNS (LanguageModel): The model, frozen, on the CPU.
        """
        path = Path(path)
        if not cls.is_saved(path):
            raise ValueError(
                f"{path} holds no language model: {store.HEAD} or {store.VOCAB} is missing. Files "
                f"made for vectors alone have no softmax; `spacy elmo pretrain` writes both."
            )
        bilm = load_bilm(path)
        vocab = Vocab.from_file(path / store.VOCAB)
        store.check(path, store.VOCAB)
        source = str(path / store.HEAD)
        file = TensorFile(path / store.HEAD, source, known=(store.METADATA,))
        try:
            cutoffs = json.loads(file.metadata[store.METADATA])["cutoffs"]
            with own_random_state():
                head = make_head(len(vocab), bilm.options.projection_dim, cutoffs)
        except (ValueError, KeyError, TypeError, RuntimeError, RecursionError) as error:
            raise ValueError(f"{source} is not a whole softmax file: {error}.") from error
        expected = {name: tuple(x.shape) for name, x in head.state_dict().items()}
        check_shapes(file.tensors, expected, source)
        store.check(path, store.HEAD)
        check_finite(file.tensors, source)
        head.load_state_dict(file.tensors)
        return cls(bilm, head.requires_grad_(False), vocab)


def codes_to_ids(vocab: Vocab, words: list[str]) -> np.ndarray:
    """RETURNS (ndarray): The class of each code of a corpus with these words (see
    `windows`), int64 [2 + n_words]."""
    return np.concatenate([[vocab.start, vocab.end], vocab.ids(words)]).astype(np.int64)
