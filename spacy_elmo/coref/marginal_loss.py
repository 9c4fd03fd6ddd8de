"""The loss of links: the marginal likelihood of all correct antecedents."""

import torch
from torch import Tensor

from .pair_scorer import IMPOSSIBLE


def marginal_loss(scores: Tensor, clusters: Tensor, antecedent_clusters: Tensor) -> Tensor:
    """Return the mean of -log p(correct antecedents), where "no antecedent" has the score 0.

    scores (Tensor): Scores of the antecedents of each mention [K, C].
    clusters (Tensor): Gold cluster of each mention, -1 for none [K].
    antecedent_clusters (Tensor): Gold cluster of each antecedent, -1 for none [K, C].
    RETURNS (Tensor): Scalar.

    REFERENCE: Lee et al. (2017), "End-to-end Neural Coreference Resolution", section 5.
    """
    scores = torch.cat([scores.new_zeros(len(scores), 1), scores], dim=1)
    is_correct = (antecedent_clusters == clusters[:, None]) & (clusters[:, None] >= 0)
    is_correct &= scores.detach()[:, 1:] > IMPOSSIBLE / 2
    is_correct = torch.cat([~is_correct.any(dim=1, keepdim=True), is_correct], dim=1)
    correct = torch.logsumexp(scores.masked_fill(~is_correct, IMPOSSIBLE), dim=1)
    return (torch.logsumexp(scores, dim=1) - correct).mean()
