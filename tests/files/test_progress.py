"""Progress bars end at 100%, whichever limit ends the work first."""

import io
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_elmo.files.progress import ProgressBar, expected_steps, seconds_since
from spacy_elmo.pretrain.loop import Pretraining
from spacy_elmo.runtime.workers import Workers

from ..pretrain import toys
from ..pretrain.toys import write_text


@given(st.integers(1, 10**6), st.integers(1, 10**9), st.floats(0, 2))
def test_expected_steps_lie_between_completed_steps_and_the_limit(step, n_steps, used):
    step = min(step, n_steps)
    assert step <= expected_steps(step, n_steps, used) <= n_steps


@pytest.mark.parametrize(
    "step, n_steps, used, expected",
    [
        (10, 592_980, 0.1, 100),  # the time limit ends the training before the epochs
        (10, 50, 0.1, 50),  # the epochs end before the time limit
        (10, 50, 0.0, 50),  # no time limit
        (85, 592_980, 1.02, 85),
    ],
)
def test_expected_steps_follow_the_first_limit(step, n_steps, used, expected):
    assert expected_steps(step, n_steps, used) == expected


def test_no_negative_time_is_shown_when_the_clock_is_set_back(monkeypatch):
    stream, now = io.StringIO(), iter(range(10**6, 0, -1000))
    monkeypatch.setattr(time, "time", lambda: next(now))
    monkeypatch.setattr("tqdm.std.time", lambda: next(now))
    with ProgressBar(total=4, file=stream, mininterval=0) as bar:
        for _ in range(4):
            bar.update()
            assert bar.format_dict["elapsed"] >= 0
    assert "4/4" in stream.getvalue() and "-" not in stream.getvalue()
    assert seconds_since(time.perf_counter() + 100) == 0


@pytest.mark.parametrize("n_done, total", [(0, 0), (3, 10), (12, 10), (10, 10), (2, None)])
def test_a_complete_bar_is_full(n_done, total):
    with ProgressBar(total=total, file=io.StringIO()) as bar:
        bar.update(n_done)
        bar.complete()
    assert bar.n == bar.total
    with ProgressBar(total=total, disable=True) as bar:
        bar.complete()


@pytest.mark.slow
@pytest.mark.parametrize("limits", [{"max_minutes": 0.001, "epochs": 1000.0}, {"epochs": 1.0}])
def test_progress_bar_of_pretraining_ends_full(limits, tmp_path, capsys):
    write_text(tmp_path)
    config = toys.config(tmp_path, training={"eval_every": 1000, **limits})
    training = Pretraining(config, tmp_path / "out", Workers.join(-1))
    training.run()
    step, n_steps = training.trainer.step, training.trainer.n_steps
    last = [line for line in re.split(r"[\r\n]", capsys.readouterr().err) if "step" in line][-1]
    assert "100%" in last and f"{step}/{step}" in last
    assert step == n_steps if "max_minutes" not in limits else step < n_steps
