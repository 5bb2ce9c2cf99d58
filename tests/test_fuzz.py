"""A part of `make fuzz` in every run of the tests."""

import pytest

from tests.fuzz import Fuzz, configuration

COUNT = 60


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory):
    return Fuzz(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("first", range(0, COUNT, 10))
def test_random_configurations_give_what_fairseq_gives(fuzz, first):
    near = [line for seed in range(first, first + 10) if (line := fuzz.run(seed))]
    assert len(near) <= 1, near


def test_what_is_drawn_covers_beams_drafters_and_every_option():
    drawn = [configuration(seed) for seed in range(COUNT)]
    assert {c.options["beam"] for c in drawn} == {1, 2, 3, 5, 8}
    assert len({c.drafter for c in drawn}) >= 6
    assert {c.n_models for c in drawn} == {1, 2}
    assert any(c.prefix for c in drawn)
    assert any(c.tied and c.options["beam"] > 1 for c in drawn)
    for name in ("no_repeat_ngram_size", "match_source_len", "unnormalized", "unkpen"):
        assert any(c.options[name] for c in drawn)
