"""Sentences of errors: all faults at once, and the nearest name."""

import pytest

from reins import errors


@pytest.mark.parametrize(
    "error",
    [errors.ConfigError, errors.DataError, errors.CapabilityError, errors.RunError],
)
def test_every_error_is_one_that_the_command_line_prints(error):
    assert issubclass(error, errors.ReinsError)
    assert not issubclass(errors.ReinsError, (ValueError, RuntimeError))


def test_one_fault_is_one_line():
    found = errors.sentence_of_faults("the data cannot be used", ["no actions"])
    assert found == "the data cannot be used: no actions"


def test_several_faults_are_counted_and_each_has_its_line():
    found = errors.sentence_of_faults(
        "the data cannot be used", ["one", "two", "three"]
    )
    head, *lines = found.splitlines()
    assert head == "the data cannot be used (3 faults):"
    assert [line.strip() for line in lines] == ["- one", "- two", "- three"]


def test_an_unknown_name_comes_with_the_nearest_and_all_that_there_are():
    found = errors.unknown_name("agent", "pppo", ["ppo", "icrl", "a2c"])
    assert "no agent `pppo`" in found
    assert "Did you mean `ppo`?" in found
    assert "Known: a2c, icrl, ppo." in found


def test_a_name_near_to_none_gets_no_hint():
    found = errors.unknown_name("agent", "zzz", ["ppo", "icrl"])
    assert "Did you mean" not in found
    assert "Known: icrl, ppo." in found
