"""A baseline biLM that implements the formulas directly.

It runs the char-CNN on every token at all character positions, pads sentences to the longest
sentence of a batch, runs the directions separately, and computes all matrix products in a Python
loop over the steps. It shares the weights of our model, so the results must be equal.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spacy_elmo.bilm import BiLM
from spacy_elmo.bilm.packed_words import END, N_BOUNDARIES, START
from spacy_elmo.lm.language_model import LanguageModel

Corrections = tuple[Tensor, Tensor]
# number of sentences of similar length in a padded batch; larger batches have more padding
BATCH_SENTENCES = 32


class TextbookBiLM:
    """Computes the layers of sentences with the textbook formulas.

    bilm (BiLM): The weights; a biLM with character input and projections.
    dtype (torch.dtype): Dtype of the matrix products under autocast.
    """

    def __init__(self, bilm: BiLM, dtype: torch.dtype) -> None:
        self.bilm, self.dtype = bilm, dtype

    def __call__(self, sentences: Sequence[Sequence[str]]) -> Tensor:
        """Return all layers [n_layers + 1, n_tokens, 2 * P], like `BiLM.forward`."""
        order = sorted(range(len(sentences)), key=lambda k: -len(sentences[k]))
        found: list[Tensor | None] = [None] * len(sentences)
        for start in range(0, len(order), BATCH_SENTENCES):
            batch = order[start : start + BATCH_SENTENCES]
            for k, layers in zip(batch, self._batch([sentences[k] for k in batch])):
                found[k] = layers
        return torch.cat([layers for layers in found if layers is not None], dim=1)

    def _batch(self, sentences: Sequence[Sequence[str]]) -> list[Tensor]:
        """Return the layers of each sentence [n_layers + 1, n, 2 * P]."""
        bilm = self.bilm
        lengths = torch.tensor([len(sentence) + N_BOUNDARIES for sentence in sentences])
        spelling = bilm.tokens.spell([word for sentence in sentences for word in sentence])
        assert spelling.chars is not None
        # [T, B]; the words after the end of a sentence are arbitrary
        words = torch.full((int(lengths.max()), len(sentences)), START)
        row = N_BOUNDARIES
        for b, sentence in enumerate(sentences):
            words[1 : len(sentence) + 1, b] = torch.arange(row, row + len(sentence))
            words[len(sentence) + 1, b] = END
            row += len(sentence)
        # the steps in the order of the backward direction; the same indices undo the reordering
        steps = torch.arange(len(words))[:, None]
        reverse = torch.where(steps < lengths, lengths - 1 - steps, steps)
        chars = torch.from_numpy(spelling.chars)[words].long().to(bilm.device)
        reverse = reverse.to(bilm.device)
        with autocast(bilm, self.dtype):
            x = self.embed(chars)
            forward = torch.stack(self.layers(x, 0))
            reversed_layers = torch.stack(self.layers(_reorder(x, reverse), 1))
        backward = torch.stack([_reorder(layer, reverse) for layer in reversed_layers])
        both = torch.cat([forward, backward], dim=3).float()
        return [both[:, 1 : length - 1, b] for b, length in enumerate(lengths.tolist())]

    def embed(self, chars: Tensor) -> Tensor:
        """Return the vectors [..., P] of words given as characters [..., C]."""
        cnn, projection = self.bilm.tokens.char_cnn, self.bilm.tokens.projection
        assert cnn is not None and projection is not None
        # [N, E, C]
        x = nn.functional.embedding(chars.flatten(0, -2), cnn.embedding).transpose(1, 2)
        peaks = [
            cnn.activation(nn.functional.conv1d(x, weight.transpose(1, 2), bias).amax(dim=2))
            for weight, bias in zip(cnn.filters, cnn.biases)
        ]
        features = torch.cat(peaks, dim=1)
        for highway in cnn.highways:
            features = highway(features)
        vectors: Tensor = projection(features)
        return vectors.view(*chars.shape[:-1], -1)

    def layers(self, x: Tensor, d: int) -> list[Tensor]:
        """Run one direction from the biLM's start states, which are zeros before `warm_up`.

        x (Tensor): Token vectors in the order of the direction [T, B, P].
        d (int): The direction.
        RETURNS (List[Tensor]): The token vectors and the outputs of each layer [T, B, P].
        """
        found = [x]
        for index, layer in enumerate(self.bilm.layers):
            h = self.bilm.start_h[index, d].expand(x.shape[1], -1)
            c = self.bilm.start_c[index, d].expand(x.shape[1], -1)
            outputs = []
            for x_t in x:
                sums = x_t @ layer.input_weight[d].t() + h @ layer.state_weight[d].t()
                i, f, o, g = (sums + layer.bias[d]).chunk(4, dim=1)
                c = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(g)
                c = c.clamp(-layer.bounds.cell, layer.bounds.cell)
                h = (torch.sigmoid(o) * torch.tanh(c)) @ layer.projection[d].t()
                h = h.clamp(-layer.bounds.output, layer.bounds.output)
                outputs.append(h)
            output = torch.stack(outputs)
            x = output + x if index else output
            found.append(x)
        return found


class TextbookLosses:
    """Computes the losses of a language model with `TextbookBiLM` under autograd.

    Token vectors come from the char-CNN or from a table of the distinct words. The sampled softmax
    computes one large matrix of logits.

    model (LanguageModel): The weights, which receive the gradients.
    dtype (torch.dtype): Dtype of the matrix products under autocast.
    """

    def __init__(self, model: LanguageModel, dtype: torch.dtype) -> None:
        self.model, self.bilm = model, TextbookBiLM(model.bilm, dtype)

    def __call__(
        self,
        words: Tensor,
        targets: Tensor,
        samples: Tensor,
        corrections: list[Corrections],
        table: Tensor | None = None,
    ) -> Tensor:
        """Return the mean loss of each direction.

        words (Tensor): Characters [D, T, B, C], or rows of the table [D, T, B].
        targets (Tensor): Target classes [D, T * B].
        samples (Tensor): Sampled classes [S].
        corrections (List[Tuple[Tensor, Tensor]]): Log expected counts of targets and samples.
        table (Optional[Tensor]): Vectors of the distinct words [n, P].
        RETURNS (Tensor): Mean losses [D].
        """
        found = []
        with autocast(self.bilm.bilm, self.bilm.dtype):
            for d, (rows, follows) in enumerate(zip(words, targets)):
                embed = self.bilm.embed
                x = embed(rows) if table is None else nn.functional.embedding(rows, table)
                top = self.bilm.layers(x, d)[-1]
                found.append(self._softmax(top.flatten(0, 1), follows, samples, corrections[d]))
        return torch.stack(found)

    def _softmax(self, h: Tensor, targets: Tensor, samples: Tensor, log_q: Corrections) -> Tensor:
        weight, bias = self.model.head.weight, self.model.head.bias
        own = (h * weight[targets]).sum(dim=1) + bias[targets] - log_q[0]
        others = h @ weight[samples].t() + bias[samples] - log_q[1]
        others = others.masked_fill(samples == targets[:, None], -1e4)
        logits = torch.cat([own[:, None], others], dim=1).float()
        return nn.functional.cross_entropy(logits, torch.zeros_like(targets))


def autocast(bilm: BiLM, dtype: torch.dtype) -> torch.autocast:
    """Return an autocast context for bfloat16, which is disabled if the dtype is another one.

    bilm (BiLM): The biLM, whose device is used.
    dtype (torch.dtype): The dtype.
    RETURNS (torch.autocast): The context.
    """
    half = dtype == torch.bfloat16
    return torch.autocast(bilm.device.type, torch.bfloat16, enabled=half)


def _reorder(x: Tensor, steps: Tensor) -> Tensor:
    """Reorder the steps of each column of x [T, B, P] by indices [T, B]."""
    return x.gather(0, steps[:, :, None].expand(-1, -1, x.shape[2]))
