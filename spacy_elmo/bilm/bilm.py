"""The biLM in PyTorch: token vectors, then layers of forward and backward LSTMs.

Text enters as a `WordBatch`. Large batches are split into chunks within a token budget, and the
sentences of a chunk are packed without padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..lstm.cuda_graphs import pad_steps
from ..lstm.lstm import LSTMLayer
from ..lstm.matmul import round_rows
from ..lstm.packing import PadSteps, longest_first
from ..runtime.devices import send
from ..runtime.fork_guard import use_one_thread_after_fork
from ..runtime.torch_scope import own_torch_settings, warn_of_reduced_float32
from .batch import WordBatch
from .characters import LexiconCharacters, WordLexicon
from .finite import check_finite
from .layers import State, make_layer, run_layers, run_packed_words
from .options import BiLMOptions
from .packed_words import PackedWords, pack_words
from .run_settings import WARM, check_start_state, matmul_dtype
from .token_embedder import TokenEmbedder
from .warm_start import WARM_UP_TEXT, compute_warm_start
from .weight_watch import WeightWatch

MAX_TOKENS = 8192


@dataclass(frozen=True)
class Mix:
    """A scalar mix that was saved with a model.

    weights (Tuple[float, ...]): Weight of each layer before the softmax.
    gamma (float): Scale of the weighted sum.
    """

    weights: tuple[float, ...]
    gamma: float


class BiLM(nn.Module):
    """A bidirectional language model over words.

    Layer 0 is the token vector, repeated for each direction. Layer l is the output of the l-th
    forward LSTM concatenated with the output of the l-th backward LSTM.

    options (BiLMOptions): Sizes and switches.
    characters (Optional[LexiconCharacters]): The character lexicon, for models that have one.
    words (Optional[WordLexicon]): The vocabulary, for models with word input.
    REFERENCE: Peters et al. 2018, "Deep contextualized word representations", section 3.
    """

    def __init__(
        self,
        options: BiLMOptions,
        characters: LexiconCharacters | None = None,
        words: WordLexicon | None = None,
    ) -> None:
        use_one_thread_after_fork()
        super().__init__()
        self.options = options
        self.mixes: list[Mix] = []
        self.languages: tuple[str, ...] = ()  # of the training text; empty if unknown
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
        register_hook: Any = self.register_load_state_dict_post_hook
        register_hook(_drop_caches)

    @property
    def device(self) -> torch.device:
        return self.start_h.device

    @property
    def n_parameters(self) -> int:
        return sum(param.numel() for param in self.parameters())

    @property
    def weights_version(self) -> int:
        """RETURNS (int): A number that changes with each detected change of the weights, see
        `drop_caches`. It is unique among all biLMs of the process."""
        self._prepare()
        return self._watch.version

    def warm_up(self, text: Sequence[str] = WARM_UP_TEXT) -> "BiLM":
        """Set the "warm" start states from the weights, see `compute_warm_start`.

        text (Sequence[str]): Tokenized sentences, space-separated.
        RETURNS (BiLM): The model itself.
        """
        h, c = self.warm_start(text)
        self.start_h.copy_(h)
        self.start_c.copy_(c)
        return self

    def warm_start(self, text: Sequence[str] = WARM_UP_TEXT) -> tuple[Tensor, Tensor]:
        """Compute the "warm" start states without setting them, see `compute_warm_start`.

        text (Sequence[str]): Tokenized sentences, space-separated.
        RETURNS (Tuple[Tensor, Tensor]): The states [n_layers, n_directions, P] and the cells
            [n_layers, n_directions, H].
        """
        return compute_warm_start(self, text)

    @own_torch_settings()
    def forward(
        self,
        batch: WordBatch,
        *,
        start_state: str = WARM,
        precision: str = "float32",
        max_tokens: int = MAX_TOKENS,
    ) -> Tensor:
        """Return all layers of all tokens. Vectors do not depend on the other sentences.

        batch (WordBatch): The sentences.
        start_state (str): "warm", the states set by `warm_up`, or "zero".
        precision (str): Precision of the LSTMs' matrix products: "float32", "bfloat16", or "int8"
            on a CPU without gradients.
        max_tokens (int): Maximum number of tokens of a chunk. It bounds the memory that is needed
            in addition to the output. On a GPU, padding can double the size of a chunk.
        RETURNS (Tensor): float32 [n_layers + 1, n_tokens, width], the tokens in the order of the
            batch.
        RAISES (ValueError): If a setting is unknown, or if a vector is not finite and no
            gradients are recorded.
        """
        options = self.options
        layers = self.start_h.new_empty(options.n_reported, len(batch.ids), options.width)
        if not len(batch.ids):
            return layers
        check_start_state(start_state)
        dtype = self._matmul_dtype(precision)
        if dtype == torch.float32:
            warn_of_reduced_float32(self.device)
        self._prepare()
        table = self._token_table(batch)
        chunks: list[Tensor] = []
        positions: list[Tensor] = []
        sums: list[Tensor] = []
        pad = self._step_padding(dtype)
        for sentences in batch.chunks(max_tokens):
            tokens = batch.tokens_of(sentences)
            packed = pack_words(batch.ids[tokens], batch.lengths[sentences], pad)
            start = self.start_state(start_state, packed.packing.active[0])
            chunk, _ = self._run_packed(table, packed, start, dtype)
            chunk_tokens = send(torch.from_numpy(tokens), self.device)
            if torch.is_grad_enabled():
                chunks.append(chunk)
                positions.append(chunk_tokens)
            else:
                layers[:, chunk_tokens] = chunk
                sums.append(chunk.sum())
        if chunks:
            layers = layers.index_copy(1, torch.cat(positions), torch.cat(chunks, dim=1))
        check_finite(sums, layers, batch)
        return layers

    @own_torch_settings()
    def carry(
        self, batch: WordBatch, state: State | None = None, *, precision: str = "float32"
    ) -> tuple[Tensor, State]:
        """Return all layers like `forward`, with sentence k starting from row k of the states.

        The original implementations carry states from batch to batch in this way, so vectors
        depend on all preceding text. Use this method to compare vectors with them.

        batch (WordBatch): The sentences.
        state (Optional[State]): States with at least as many rows as sentences; None for zeros.
        precision (str): As for `forward`.
        RETURNS (Tuple[Tensor, State]): The layers, and the states after each sentence. Rows
            beyond the batch are unchanged.
        RAISES (ValueError): If the precision is unknown, or if a vector is not finite and no
            gradients are recorded.
        """
        self._prepare()
        if state is None:
            state = self.zero_state(len(batch.lengths))
        dtype = self._matmul_dtype(precision)
        order = longest_first(batch.lengths)
        tokens = batch.tokens_of(order)
        packed = pack_words(batch.ids[tokens], batch.lengths[order])
        rows = torch.from_numpy(order).to(self.device)
        start = State(state.h[:, :, rows], state.c[:, :, rows])
        found, end = self._run_packed(self._token_table(batch), packed, start, dtype)
        layers = found.new_empty(found.shape).index_copy(
            1, torch.from_numpy(tokens).to(self.device), found
        )
        if not torch.is_grad_enabled():
            check_finite([layers.sum()], layers, batch)
        end_h = state.h.index_copy(2, rows, end.h)
        return layers, State(end_h, state.c.index_copy(2, rows, end.c))

    @own_torch_settings()
    def run_layers(
        self,
        x: Tensor,
        active: list[int],
        state: State,
        precision: str = "float32",
        dropout: float = 0.0,
    ) -> tuple[list[Tensor], State]:
        """Run the stacked LSTM layers on packed rows.

        x (Tensor): Token vectors [n_directions, R, P], step after step.
        active (List[int]): Sentences running at each step, descending; they sum to R.
        state (State): States before the first step, one row for each sentence.
        precision (str): As for `forward`.
        dropout (float): Fraction of each layer's inputs to drop. Skip connections add the inputs
            after dropout.
        RETURNS (Tuple[List[Tensor], State]): The outputs of each layer [n_directions, R, P], and
            the states after each sentence's last step.
        RAISES (ValueError): If the precision is unknown.
        """
        self._prepare()
        return run_layers(
            self.layers,
            x,
            active,
            state,
            dtype=self._matmul_dtype(precision),
            skip_connections=self.options.skip_connections,
            dropout=dropout,
        )

    def start_state(self, start_state: str, n_rows: int) -> State:
        """Return the same start state for a number of batch rows.

        start_state (str): "warm", the states set by `warm_up`, or "zero".
        n_rows (int): Number of rows.
        RETURNS (State): The states.
        RAISES (ValueError): If the start state is unknown.
        """
        check_start_state(start_state)
        if start_state != WARM:
            return self.zero_state(n_rows)
        return State(
            self.start_h.unsqueeze(2).expand(-1, -1, n_rows, -1),
            self.start_c.unsqueeze(2).expand(-1, -1, n_rows, -1),
        )

    def zero_state(self, n_rows: int) -> State:
        """RETURNS (State): Zeros for a number of batch rows."""
        start = (*self.start_h.shape[:2], n_rows)
        return State(
            self.start_h.new_zeros(*start, self.options.projection_dim),
            self.start_c.new_zeros(*start, self.options.hidden_dim),
        )

    def drop_caches(self) -> None:
        """Drop everything derived from the weights. Call this when the weights have changed.

        Changes that autograd counts are detected before the next forward pass. On a CPU, other
        changes (`param.data[...] = `) are also detected if they change most values of a tensor.
        """
        self._drop_derived()
        self._watch.accept(self._weights())

    def requires_grad_(self, requires_grad: bool = True) -> "BiLM":
        """Freeze or unfreeze the weights, and drop everything derived from them.

        requires_grad (bool): Whether autograd records operations on the weights.
        RETURNS (BiLM): The model itself.
        """
        self._drop_derived()
        super().requires_grad_(requires_grad)
        return self

    def _apply(self, *args: Any, **kwargs: Any) -> "BiLM":
        self._drop_derived()  # called to move the weights to another device or dtype
        apply: Any = super()._apply
        apply(*args, **kwargs)
        return self

    def _prepare(self) -> None:
        """Handle a fork and changed weights. Call this before each forward pass."""
        use_one_thread_after_fork()
        if self._watch.changed(self._weights()):
            self.drop_caches()

    def _weights(self) -> list[Tensor]:
        return [*self.parameters(), *self.buffers()]

    def _drop_derived(self) -> None:
        self.tokens.drop_caches()
        for layer in self.layers:
            assert isinstance(layer, LSTMLayer)
            layer.drop_caches()

    def _matmul_dtype(self, precision: str) -> torch.dtype:
        return matmul_dtype(precision, self.device) or self.start_h.dtype

    def _step_padding(self, dtype: torch.dtype) -> PadSteps | None:
        """RETURNS (Optional[Callable]): A function that pads steps to a few numbers of rows; None
        for no padding. On a GPU, CUDA graphs are captured for these numbers of rows. On a CPU,
        oneDNN compiles code for them."""
        layer = self.layers[0]
        assert isinstance(layer, LSTMLayer)
        if torch.is_grad_enabled():
            return None
        if self.device.type == "cpu":
            return round_rows
        if not layer.replays_cuda_graphs():
            return None
        return partial(pad_steps, max_rows=layer.max_graph_rows(dtype))

    def _token_table(self, batch: WordBatch) -> Tensor:
        """RETURNS (Tensor): Vectors of the boundary words and the distinct words [2 + n, P]."""
        return torch.cat([self.tokens.boundaries(), self.tokens(batch.words)])

    def _run_packed(
        self, table: Tensor, packed: PackedWords, start: State, dtype: torch.dtype
    ) -> tuple[Tensor, State]:
        return run_packed_words(
            self.layers,
            table,
            packed,
            start,
            dtype=dtype,
            skip_connections=self.options.skip_connections,
        )


def _drop_caches(bilm: BiLM, incompatible_keys: object) -> None:
    bilm.drop_caches()
