"""What the benchmark of constraints makes of the numbers that its turns tell."""

import pytest

from benchmarks.constraints import expected_minutes, shares, verdicts
from benchmarks.turns import Contestant, results

TURN = {
    "steps": 1000,
    "seconds": 2.0,
    "parts": {"simulate": 0.5, "act": 0.1, "update": 1.0, "constraint": 0.3},
    "start": 30.0,
    "evaluation": 1.5,
    "evaluations": 4,
    "threads": {},
    "versions": {},
}


def _learner(*turns: dict) -> Contestant:
    settings = {"learn": {"steps": 60_000}}
    told = {"settings": settings, "place": "learning", "turns": list(turns)}
    return Contestant("icrl", 10, [], **told)


def test_a_whole_run_is_its_start_its_updates_and_its_evaluations():
    # 30 s, 60 times 2 s, 4 times 1.5 s
    assert expected_minutes(_learner(TURN)) == pytest.approx((30 + 120 + 6) / 60)


def test_of_several_turns_the_median_is_expected():
    slow, slower = {**TURN, "start": 90.0}, {**TURN, "start": 990.0}
    found = expected_minutes(_learner(slower, TURN, slow))
    assert found == pytest.approx((90 + 120 + 6) / 60)


def test_nothing_is_expected_of_who_failed():
    assert expected_minutes(_learner()) is None


def test_parts_and_rest_are_the_whole():
    (parts,) = shares([_learner(TURN, {**TURN, "seconds": 3.0})]).values()
    whole = parts.pop("whole")
    assert whole == pytest.approx(2500)
    assert parts["rest"] == pytest.approx(600)
    assert sum(parts.values()) == pytest.approx(whole)


def test_who_only_steps_has_no_shares():
    stepper = Contestant("reins", 10, [], place="stepping", turns=[TURN])
    assert shares([stepper]) == {}


def test_the_better_number_of_threads_counts():
    def training(name: str, seconds: float) -> Contestant:
        turns = [{**TURN, "seconds": seconds}]
        return Contestant(name, 1, [], place="training", turns=turns)

    peers = [training(f"omnisafe, {n}", s) for n, s in (("1 thread", 30), ("2", 20))]
    first, *_ = verdicts([training("reins", 1.0), *peers])
    assert "reins / omnisafe, 2: 20.00" in first


def test_a_file_keeps_what_a_turn_told_beside_its_parts():
    (row,) = results([_learner(TURN)])
    assert row["turns"][0]["start"] == TURN["start"]
