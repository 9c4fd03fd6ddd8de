"""Baselines for the speed of embedding sentences."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from textbook import BATCH_SENTENCES
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from spacy_elmo.bilm import BiLM, BiLMOptions, WordBatch
from spacy_elmo.bilm.packed_words import pack_words

# sizes of roberta-base
WIDTH, DEPTH, HEADS, FEED_FORWARD, N_SUBWORDS = 768, 12, 12, 3072, 50_265
SUBWORDS_PER_WORD = 1.3  # in English prose
N_SPECIAL = 2


class TorchLSTMs(nn.Module):
    """A biLM with `torch.nn.LSTM(proj_size=...)`, which does not clip, instead of our LSTM layers.

    bilm (BiLM): The biLM whose token layer and sizes are used.
    dtype (torch.dtype): Dtype of the layers.
    """

    def __init__(self, bilm: BiLM, dtype: torch.dtype) -> None:
        super().__init__()
        self.bilm, self.dtype = bilm, dtype
        self.lstms = make_lstms(bilm.options).to(bilm.device, dtype)

    def forward(self, batch: WordBatch, max_tokens: int) -> Tensor:
        """Return all layers [n_layers + 1, n_tokens, 2 * P]."""
        tokens = self.bilm.tokens
        table = torch.cat([tokens.boundaries(), tokens(batch.words)])
        options = self.bilm.options
        found = table.new_empty(options.n_reported, len(batch.ids), options.width)
        for sentences in batch.chunks(max_tokens):
            positions = batch.tokens_of(sentences)
            packed = pack_words(batch.ids[positions], batch.lengths[sentences])
            n_running = torch.tensor(packed.packing.active)
            directions = []
            for rows, output_rows, layers in zip(packed.inputs, packed.outputs, self.lstms):
                x = table[rows.to(table.device)]
                outputs = [x]
                for index, lstm in enumerate(layers):
                    output, _ = lstm(PackedSequence(x.to(self.dtype), n_running))
                    x = output.data.float() + x if index else output.data.float()
                    outputs.append(x)
                directions.append(torch.stack(outputs)[:, output_rows.to(table.device)])
            found[:, torch.from_numpy(positions).to(table.device)] = torch.cat(directions, dim=2)
        return found


def make_lstms(options: BiLMOptions) -> nn.ModuleList:
    """Create a `torch.nn.LSTM` for each direction and layer."""
    dim, hidden = options.projection_dim, options.hidden_dim
    return nn.ModuleList(
        nn.ModuleList(nn.LSTM(dim, hidden, proj_size=dim) for _ in range(options.n_layers))
        for _ in range(options.n_directions)
    )


class RobertaBase(nn.Module):
    """A transformer encoder of the size of roberta-base with random weights.

    dtype (torch.dtype): Dtype of the layers.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, FEED_FORWARD, activation="gelu", batch_first=True
        )
        self.embedding = nn.Embedding(N_SUBWORDS, WIDTH)
        self.encoder = nn.TransformerEncoder(layer, DEPTH)
        self.to(dtype).eval().requires_grad_(False)

    def forward(self, batches: Sequence[Tensor]) -> list[Tensor]:
        """Encode batches of subword ids [B, T], padded with -1, to vectors [B, T, 768]."""
        return [
            self.encoder(self.embedding(batch.clamp(min=0)), src_key_padding_mask=batch < 0)
            for batch in batches
        ]


def draw_subwords(lengths: np.ndarray, device: torch.device) -> list[Tensor]:
    """Draw random subword ids. The number of subwords of a sentence is typical of its number of
    words.

    lengths (ndarray): Number of words of each sentence.
    device (torch.device): Device of the batches.
    RETURNS (List[Tensor]): Batches of sentences of similar length [B, T], padded with -1.
    """
    n_subwords = [
        math.ceil(SUBWORDS_PER_WORD * n) + N_SPECIAL for n in sorted(lengths, reverse=True)
    ]
    batches = []
    for start in range(0, len(n_subwords), BATCH_SENTENCES):
        counts = n_subwords[start : start + BATCH_SENTENCES]
        subwords = torch.randint(N_SUBWORDS, (len(counts), counts[0]))
        subwords[torch.arange(counts[0]) >= torch.tensor(counts)[:, None]] = -1
        batches.append(subwords.to(device))
    return batches
