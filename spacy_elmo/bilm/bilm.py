"""The biLM: token vectors, then layers of LSTMs in both directions.

Owns how layers are stacked, where a sentence's states start, and how a large batch
is cut to a token budget. Words come in as a `WordBatch`; files, Docs and gradients
of tasks are other modules' business.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from ..lstm.cell import Bounds
from ..lstm.cuda_graphs import widen
from ..lstm.int8 import warn_of_slow_int8
from ..lstm.lstm import LSTMLayer
from ..lstm.matmul import round_rows, warn_of_slow_bfloat16
from ..lstm.packing import Packing, pack
from ..runtime.devices import send
from ..runtime.fork_guard import run_alone_after_fork
from ..runtime.torch_scope import own_torch_settings, warn_of_reduced_float32
from .batch import WordBatch
from .characters import LexiconCharacters, WordLexicon
from .finite import check_finite
from .options import BiLMOptions
from .token_embedder import TokenEmbedder
from .weight_watch import WeightWatch

WARM, ZERO = "warm", "zero"
START_STATES = (WARM, ZERO)
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "int8": torch.int8}
MAX_TOKENS = 8192

# A few plain sentences that the states are run in on; see `BiLM.warm_up`.
WARM_UP_TEXT = (
    "It was late when they came back , and nobody said a word .",
    "The people of the town had heard of it .",
    "What is the matter ?",
    "There was nothing more to be done that day .",
)
WARM_UP_ROUNDS = 3


@dataclass(frozen=True)
class State:
    """Memory of each layer, direction and batch row.

    h (Tensor): Outputs [n_layers, n_directions, n_rows, P].
    c (Tensor): Cells [n_layers, n_directions, n_rows, H].
    """

    h: Tensor
    c: Tensor


@dataclass(frozen=True)
class Mix:
    """Layer weights that came with a model: raw (before the softmax) and the scale."""

    weights: tuple[float, ...]
    gamma: float


class BiLM(nn.Module):
    """A bidirectional language model over words (Peters et al. 2018).

    Layer 0 is the token vector once for each direction, layer l the output of the
    l-th forward and backward LSTM side by side.

    options (BiLMOptions): Sizes and switches.
    characters (Optional[LexiconCharacters]): The alphabet of a model that has one.
    words (Optional[WordLexicon]): The vocabulary of a model with word input.
    """

    def __init__(
        self,
        options: BiLMOptions,
        characters: LexiconCharacters | None = None,
        words: WordLexicon | None = None,
    ) -> None:
        run_alone_after_fork()
        super().__init__()
        self.options = options
        self.mixes: list[Mix] = []
        self.languages: tuple[str, ...] = ()  # of the text it was trained on, if they are known
        self._watch = WeightWatch()
        self.tokens = TokenEmbedder(options, characters, words)
        self.layers = nn.ModuleList(make_layer(options) for _ in range(options.n_layers))
        start = (options.n_layers, options.n_directions)
        self.register_buffer(
            "start_h", torch.zeros(*start, options.projection_dim, dtype=torch.float32)
        )
        self.register_buffer(
            "start_c", torch.zeros(*start, options.hidden_dim, dtype=torch.float32)
        )
        self.start_h: Tensor
        self.start_c: Tensor
        self.register_load_state_dict_post_hook(_drop_caches)

    @property
    def device(self) -> torch.device:
        return self.start_h.device

    @property
    def n_parameters(self) -> int:
        return sum(param.numel() for param in self.parameters())

    @property
    def weights_version(self) -> int:
        """RETURNS (int): Another number after each change of the weights that is noticed; see
        `drop_caches`. No other biLM of the process has the same."""
        self._prepare()
        return self._watch.version

    def drop_caches(self) -> None:
        """Drop what was derived from the weights. Called wherever they change. Changes that torch
        counts are noticed before the next forward pass, and so are others (`param.data[...] = `)
        on a CPU if they change most values of a tensor."""
        self._drop_derived()
        self._watch.accept(self._weights())

    def _drop_derived(self) -> None:
        self.tokens.drop_caches()
        for layer in self.layers:
            assert isinstance(layer, LSTMLayer)
            layer.drop_caches()

    def _weights(self) -> list[Tensor]:
        return [*self.parameters(), *self.buffers()]

    def _prepare(self) -> None:
        """To be called before anything is run."""
        run_alone_after_fork()
        if self._watch.changed(self._weights()):
            self.drop_caches()

    def requires_grad_(self, requires_grad: bool = True) -> "BiLM":
        self._drop_derived()
        super().requires_grad_(requires_grad)
        return self

    def _apply(self, fn, recurse=True):  # type: ignore[no-untyped-def]
        self._drop_derived()  # moved to another device or type
        return super()._apply(fn, recurse)

    @own_torch_settings()
    def forward(
        self,
        batch: WordBatch,
        *,
        start_state: str = WARM,
        precision: str = "float32",
        max_tokens: int = MAX_TOKENS,
    ) -> Tensor:
        """All layers of all tokens. A sentence's vectors do not depend on the others.

        batch (WordBatch): The sentences.
        start_state (str): "warm", the states that `warm_up` left, or "zero".
        precision (str): "float32", or, for the LSTMs' matrix products, "bfloat16", or "int8" on
            a CPU and without gradients.
        max_tokens (int): Tokens run at once; bounds the memory beside the output. On a GPU
            they may be filled up to twice as many.
        RETURNS (Tensor): float32 [n_layers + 1, n_tokens, width], the tokens in the
            order of the batch.
        RAISES (ValueError): If a vector is not finite and no gradients are recorded.
        """
        options = self.options
        layers = self.start_h.new_empty(options.n_reported, len(batch.ids), options.width)
        if not len(batch.ids):
            return layers
        start, dtype = self._start(start_state), self._dtype(precision)
        if dtype == torch.float32:
            warn_of_reduced_float32(self.device)
        self._prepare()
        table = torch.cat([self.tokens.boundaries(), self.tokens(batch.words)])
        parts: list[Tensor] = []
        positions: list[Tensor] = []
        sums: list[Tensor] = []
        widening = self._widening(dtype)
        for sentences in batch.parts(max_tokens):
            tokens = batch.tokens_of(sentences)
            packing = pack(batch.ids[tokens], batch.lengths[sentences], widening)
            part, _ = self._run(table, packing, start, dtype)
            where = send(torch.from_numpy(tokens), self.device)
            if torch.is_grad_enabled():
                parts.append(part)
                positions.append(where)
            else:
                layers[:, where] = part
                sums.append(part.sum())
        if parts:
            layers = layers.index_copy(1, torch.cat(positions), torch.cat(parts, dim=1))
        check_finite(sums, layers, batch)
        return layers

    @own_torch_settings()
    def carry(
        self, batch: WordBatch, state: State | None = None, *, precision: str = "float32"
    ) -> tuple[Tensor, State]:
        """As `forward`, but sentence k starts from row k of the given states.

        The original implementations keep their states so between batches. Here it
        serves to compare with them: vectors depend on all that went before.

        batch (WordBatch): The sentences.
        state (Optional[State]): States with at least as many rows, zeros if None.
        precision (str): As for `forward`.
        RETURNS (Tuple[Tensor, State]): The layers, and the states after each
            sentence; rows beyond the batch are as they were.
        """
        n_rows = len(batch.lengths)
        self._prepare()
        if state is None:
            state = self.zero_state(n_rows)
        table = torch.cat([self.tokens.boundaries(), self.tokens(batch.words)])
        packing = pack(batch.ids, batch.lengths)
        dtype = self._dtype(precision)
        order = packing.order.to(self.device)
        layers, end = self._run(table, packing, (state.h[:, :, order], state.c[:, :, order]), dtype)
        if not torch.is_grad_enabled():
            check_finite([layers.sum()], layers, batch)
        return layers, State(
            state.h.index_copy(2, order, end.h), state.c.index_copy(2, order, end.c)
        )

    def warm_up(self) -> "BiLM":
        """Set the "warm" start states from the weights, see `warm_start`.

        RETURNS (BiLM): The model itself.
        """
        h, c = self.warm_start()
        self.start_h.copy_(h)
        self.start_c.copy_(c)
        return self

    @torch.no_grad()
    def warm_start(self, text: Sequence[str] = WARM_UP_TEXT) -> tuple[Tensor, Tensor]:
        """Compute the "warm" start states from the weights.

        In training the states of one sentence carry over to the next, so zeros are
        a start the model has never seen. A few sentences are run through several
        times and the mean of the states after them is kept as a constant.

        text (Sequence[str]): Tokenized sentences, space-separated.
        RETURNS (Tuple[Tensor, Tensor]): The states [n_layers, n_directions, P] and the cells
            [n_layers, n_directions, H].
        """
        batch = WordBatch.from_sentences([sentence.split() for sentence in text])
        state: State | None = None
        for _ in range(WARM_UP_ROUNDS):
            _, state = self.carry(batch, state)
        assert state is not None
        return state.h.mean(dim=2), state.c.mean(dim=2)

    def _start(self, start_state: str) -> tuple[Tensor, Tensor]:
        if start_state == WARM:
            return self.start_h, self.start_c
        if start_state == ZERO:
            return torch.zeros_like(self.start_h), torch.zeros_like(self.start_c)
        raise ValueError(f"The start state is {start_state!r}; it must be '{WARM}' or '{ZERO}'.")

    def _widening(self, dtype: torch.dtype) -> Callable[[np.ndarray], np.ndarray] | None:
        """Return how to fill the steps of a batch up to a few numbers of rows, if at all: to those
        that CUDA graphs are recorded for, or to those that the CPU keeps compiled code for."""
        layer = self.layers[0]
        assert isinstance(layer, LSTMLayer)
        if torch.is_grad_enabled():
            return None
        if self.device.type == "cpu":
            return round_rows
        if not layer.is_recorded():
            return None
        return partial(widen, most=layer.recorded_rows(dtype))

    def _dtype(self, precision: str) -> torch.dtype:
        """The type of the matrix products."""
        if precision not in PRECISIONS:
            raise ValueError(
                f"The precision is {precision!r}; it must be one of {', '.join(PRECISIONS)}."
            )
        dtype = PRECISIONS[precision]
        if dtype == torch.bfloat16:
            warn_of_slow_bfloat16(self.device.type)
        if dtype == torch.int8:
            if self.device.type != "cpu":
                raise ValueError(
                    f"The precision is int8, which is for CPUs, but the biLM is on "
                    f"{self.device}. Set precision to bfloat16."
                )
            warn_of_slow_int8()
        return dtype or self.start_h.dtype

    def _run(
        self, table: Tensor, packing: Packing, start: tuple[Tensor, Tensor], dtype: torch.dtype
    ) -> tuple[Tensor, State]:
        """Run the layers over one packed batch and gather the tokens' rows."""
        n_rows = packing.active[0] if packing.active else 0
        n_directions = self.options.n_directions
        h, c = start
        if h.dim() == 3:  # one state for all sentences
            h, c = (x.unsqueeze(2).expand(-1, -1, n_rows, -1) for x in start)
        rows = send(packing.outputs[:n_directions], self.device)
        # [n_directions, R, P]
        x = table[send(packing.inputs[:n_directions], self.device)]
        layers, end = self._run_layers(x, packing.active, State(h, c), dtype)
        return torch.stack([_gather(layer, rows) for layer in (x, *layers)]), end

    @own_torch_settings()
    def run_layers(
        self,
        x: Tensor,
        active: list[int],
        state: State,
        precision: str = "float32",
        dropout: float = 0.0,
    ) -> tuple[list[Tensor], State]:
        """Run the LSTM layers, one on the other, over packed rows.

        x (Tensor): Token vectors [n_directions, R, P], step after step.
        active (List[int]): Sentences running at each step, descending; they sum to R.
        state (State): States before the first step, a row for each sentence.
        precision (str): As for `forward`.
        dropout (float): Share of each layer's inputs to drop; the residual connection
            adds the inputs as they were dropped.
        RETURNS (Tuple[List[Tensor], State]): The outputs of each layer
            [n_directions, R, P], and the states after each sentence's own last step.
        """
        self._prepare()
        return self._run_layers(x, active, state, self._dtype(precision), dropout)

    def _run_layers(
        self,
        x: Tensor,
        active: list[int],
        state: State,
        dtype: torch.dtype,
        dropout: float = 0.0,
    ) -> tuple[list[Tensor], State]:
        layers: list[Tensor] = []
        end: list[tuple[Tensor, Tensor]] = []
        for index, layer in enumerate(self.layers):
            if dropout:
                x = nn.functional.dropout(x, dropout)
            output, h, c = layer(x, active, state.h[index], state.c[index], dtype)
            # the sum is the layer's output; the state carried on is without it
            x = output + x if index and self.options.skip_connections else output
            layers.append(x)
            end.append((h, c))
        return layers, State(torch.stack([h for h, _ in end]), torch.stack([c for _, c in end]))

    def zero_state(self, n_rows: int) -> State:
        """RETURNS (State): Zeros for a number of rows."""
        start = (*self.start_h.shape[:2], n_rows)
        return State(
            self.start_h.new_zeros(*start, self.options.projection_dim),
            self.start_c.new_zeros(*start, self.options.hidden_dim),
        )


def make_layer(options: BiLMOptions) -> LSTMLayer:
    """RETURNS (LSTMLayer): A layer of the biLM with random weights."""
    projects = options.state_projection
    return LSTMLayer(
        options.n_directions,
        options.projection_dim,
        options.hidden_dim,
        projects,
        Bounds(options.cell_clip, options.proj_clip if projects else None),
        records=True,
    )


def _drop_caches(bilm: BiLM, incompatible: object) -> None:
    bilm.drop_caches()


def _gather(x: Tensor, rows: Tensor) -> Tensor:
    """Rows of each direction side by side: [D, R, P] to [n_tokens, D * P]."""
    return torch.cat([x[direction, index] for direction, index in enumerate(rows)], dim=1)
