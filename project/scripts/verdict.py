"""The section of the report that says whether ELMo improved the scores and, if not, why."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tables import METRICS, TASKS, Runs, Spread

# typical difference in points between two runs with different seeds; if each model has several
# runs, their standard deviation is used instead
SEED_POINTS = 1.0
# a biLM whose perplexity is above this fraction of the unigram perplexity counts as undertrained
UNDERTRAINED = 0.5
# a score without ELMo of at least this value counts as nearly perfect
NEARLY_PERFECT = 98.0


def unigram_perplexity(sentences: Sequence[tuple[str, ...]]) -> float:
    """Compute the perplexity of a text under a language model without context, whose probabilities
    are the frequencies of the text's own words and sentence ends.

    sentences (Sequence[Tuple[str, ...]]): The words of each sentence.
    RETURNS (float): The perplexity; 1 for an empty text.
    """
    counts = Counter(word for sentence in sentences for word in sentence)
    counts[""] = len(sentences)
    total = max(1, sum(counts.values()))
    entropy = -sum(n / total * math.log(n / total) for n in counts.values() if n)
    return math.exp(entropy)


def gains_section(
    runs: Runs, evaluations: Sequence[dict[str, Any]], unigram: float | None
) -> Iterator[str]:
    """Report for each task whether ELMo improved the score, and possible reasons if it did not.

    runs (Runs): All runs.
    evaluations (Sequence[Dict[str, Any]]): The evaluations of the pretraining, in order; empty if
        they are unknown.
    unigram (Optional[float]): The unigram perplexity of the held-out text; None if unknown.
    YIELDS (str): Paragraphs in Markdown.
    """
    yield "## Gain from ELMo"
    without_gain: list[Spread] = []
    lines: list[str] = []
    for task in runs.where(share=100).tasks():
        name, key = METRICS[task][0]
        baseline, elmo = (
            runs.where(task=task, model=model, share=100).score("test", key)
            for model in ("baseline", "elmo")
        )
        if baseline is None or elmo is None:
            continue
        points = elmo.mean - baseline.mean
        noise = noise_of(baseline, elmo)
        change = f"{name} on test is {baseline} without and {elmo} with ELMo ({points:+.1f})"
        if points > noise:
            lines.append(f"- **{TASKS[task]}: ELMo helps.** {change}.")
            continue
        without_gain.append(baseline)
        verdict = "ELMo hurts" if points < -noise else "no gain"
        lines.append(
            f"- **{TASKS[task]}: {verdict}.** {change}. Differences of up to {noise:.1f} points "
            f"can be due to the seed."
        )
    yield "\n".join(lines) if lines else "There are no runs with and without ELMo to compare."
    trained = describe_pretraining(evaluations, unigram)
    if trained:
        yield trained
    if without_gain:
        yield from reasons(without_gain, evaluations, unigram)


def noise_of(baseline: Spread, elmo: Spread) -> float:
    """Return the difference in points between two means that can be due to the seed: the larger
    standard deviation if both have several runs, otherwise `SEED_POINTS`."""
    if min(baseline.n, elmo.n) > 1:
        return max(baseline.deviation, elmo.deviation)
    return SEED_POINTS


def describe_pretraining(evaluations: Sequence[dict[str, Any]], unigram: float | None) -> str:
    """Describe the perplexity of the biLM on held-out text.

    RETURNS (str): A paragraph; empty if there are no evaluations.
    """
    if not evaluations:
        return ""
    last = evaluations[-1]
    compared = f"; word frequencies alone reach {unigram:.1f}" if unigram else ""
    return (
        f"The biLM was trained on {last['words']:,} words in {last['step']:,} steps. Its "
        f"perplexity on held-out text is {perplexity(last):.1f}{compared}."
    )


def perplexity(evaluation: dict[str, Any]) -> float:
    """Return the geometric mean of the perplexities of both directions."""
    return math.sqrt(evaluation["forward"] * evaluation["backward"])


def reasons(
    baselines: Sequence[Spread], evaluations: Sequence[dict[str, Any]], unigram: float | None
) -> Iterator[str]:
    """Explain why tasks may not have gained from ELMo.

    baselines (Sequence[Spread]): Scores without ELMo of the tasks without a gain.
    evaluations, unigram: As for `gains_section`.
    YIELDS (str): Paragraphs in Markdown.
    """
    found = False
    if evaluations and unigram and perplexity(evaluations[-1]) > UNDERTRAINED * unigram:
        found = True
        yield (
            f"**The biLM is undertrained**: after {evaluations[-1]['step']:,} steps its "
            f"predictions are little better than word frequencies, so that its vectors contain "
            f"little information about the context. Pretrain it for more steps "
            f"(`training.epochs`), and repeat the fine-tuning."
        )
    if any(score.mean >= NEARLY_PERFECT for score in baselines):
        found = True
        yield "A score without ELMo is nearly perfect, so that ELMo can hardly improve it."
    if any(score.n == 1 for score in baselines):
        found = True
        yield (
            "Each model was trained once. Runs with several seeds (`seeds`) show whether a small "
            "difference is due to chance."
        )
    if not found:
        yield (
            "Neither the pretraining nor the scores explain why there is no gain. More fine-tuning "
            "steps, or a biLM that was pretrained on similar text, may improve the scores."
        )
