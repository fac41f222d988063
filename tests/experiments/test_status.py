"""What compiled code reports becomes a sentence, once for each seed."""

import pytest

import reins
from reins.experiments.status import STATUS, status_news

ROW = {"return": [1.0, 2.0], "weights_degenerate": [0.4, 0.75]}


def test_a_status_is_told_of_the_seeds_that_have_it():
    (sentence,) = status_news(ROW, [3, 4], [])
    assert sentence.startswith("seed 4: weights_degenerate: in 75%")
    assert sentence.endswith(".")


def test_what_was_told_is_not_told_again():
    told = [f"sac in Env, {sentence}" for sentence in status_news(ROW, [3, 4], [])]
    assert list(status_news(ROW, [3, 4], told)) == []
    worse = ROW | {"weights_degenerate": [0.9, 0.9]}
    assert len(list(status_news(worse, [3, 4], told))) == 1


def test_a_row_without_a_status_is_no_news():
    assert list(status_news({"return": [1.0]}, [0], [])) == []


@pytest.mark.parametrize(("temperature", "degenerate"), [("0", True), ("1", False)])
def test_a_run_says_so_in_its_summary(tmp_path, capsys, temperature, degenerate):
    run = reins.train(
        "sac",
        "reins/Pendulum-v1",
        out=tmp_path / "run",
        policy_loss="forward-kl",
        temperature=temperature,
        action_samples=3,
        seeds=1,
        steps=400,
        learning_starts=50,
        batch_size=32,
        hidden=(8,),
        evaluation_interval=200,
        evaluation_episodes=2,
    )
    news = run.summary.get("news", [])
    assert len(news) == degenerate
    shown = capsys.readouterr()
    for sentence in news:
        assert sentence.startswith("sac in reins/Pendulum-v1, seed 0: weights_deg")
    assert ("weights_degenerate:" in shown.out + shown.err) == degenerate
    assert "weights_degenerate" in STATUS
