"""The simulation of speculation in the beam, on a few sentences and models small enough for a test."""

import json
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "scripts")]

import mirror_replay as mr  # noqa: E402
import simulate_mirror  # noqa: E402

RULES = mr.Rules(beam=2, eos=2, max_len=9)
PAGE = "# Title\n\n<!-- table mirror: written by a script -->\n<!-- end mirror -->\n"


def test_it_writes_how_far_passes_reach_what_they_cost_and_what_comes_of_it(monkeypatch, tmp_path):
    monkeypatch.setattr(simulate_mirror, "SENTENCES", 2)
    monkeypatch.setattr(simulate_mirror, "REPEATS", 1)
    monkeypatch.setattr(simulate_mirror, "EXTRA", (0, 7))
    sizes = {name: (16, 32, 2, 1, 40) for name in ("translation", "correction", "small")}
    monkeypatch.setattr(simulate_mirror, "SIZES", sizes)
    (tmp_path / "page.md").write_text(PAGE)
    out = tmp_path / "out.json"
    argv = ["simulate_mirror", "--out", str(out), "--page", str(tmp_path / "page.md")]
    monkeypatch.setattr(sys, "argv", argv)
    simulate_mirror.main()
    jobs = json.loads(out.read_text())["jobs"]
    for job, chains in jobs.items():
        plain = chains["none"]["0"]
        assert sum(plain["passes"].values()) == plain["steps"] and set(plain["passes"]) == {"1", "5"}
        for chain in chains.values():
            assert chain["7"]["steps"] == plain["steps"] and max(map(int, chain["7"]["passes"])) <= 12
            assert sum(chain["7"]["passes"].values()) < plain["steps"]
            assert set(chain["7"]["speedup"]) == {job, "small"}
    assert "correction, `input`: steps a pass (positions)" in (tmp_path / "page.md").read_text()


def test_a_step_waits_for_a_list_only_if_that_could_hold_a_candidate_that_matters():
    lists = {(2, 5): [(7, -0.1), (8, -0.3)], (2, 6): None}
    apart = mr.Search(1, ((-0.5, (2, 5)), (-0.9, (2, 6))))
    found = mr.advance(apart, RULES, lists.get)
    assert [tokens for _, tokens in found.beams] == [(2, 5, 7), (2, 5, 8)]
    close = mr.Search(1, ((-0.5, (2, 5)), (-0.7, (2, 6))))
    assert mr.advance(close, RULES, lists.get) is None


def test_a_guide_goes_on_behind_what_was_inserted_left_out_or_replaced():
    guide = mr.Guide([10, 11, 12, 13])
    assert guide.next((2,)) == 10
    assert guide.next((2, 10, 11)) == 12
    assert guide.next((2, 10, 12)) == 13
    assert guide.next((2, 10, 99)) == 12
    assert guide.next((2, 10, 11, 12, 13)) is None


def test_a_guess_is_the_newest_list_behind_the_longest_suffix_and_a_guides_token_comes_first():
    guesses = mr.Guesses()
    guesses.learn((2, 4, 5, 6), [(7, -0.1), (8, -3.0)])
    guesses.learn((2, 9, 6), [(1, -0.2)])
    assert guesses.of((2, 3, 4, 5, 6), None) == [(7, -0.1), (8, -3.0)]
    assert guesses.of((2, 3, 6), None) == [(1, -0.2)]
    assert guesses.of((2, 3), None) == []
    (token, score), *others = guesses.of((2, 4, 5, 6), mr.Guide([4, 5, 6, 8]))
    assert token == 8 and [other for other, _ in others] == [7] and others[0][1] < score


@pytest.mark.parametrize("extra", [0, 1, 3, 9])
def test_what_is_found_never_depends_on_what_is_guessed(extra):
    lists, first = {}, (2,)

    def grow(prefix):
        scores = [(-((hash((prefix, token)) % 97) / 29 + 0.01), token) for token in (2, 3, 4, 5, 6)]
        lists[prefix] = [(token, score) for score, token in sorted(scores, reverse=True)[:4]]
        if len(prefix) < 7:
            for token, _ in lists[prefix]:
                if token != 2:
                    grow((*prefix, token))

    grow(first)
    rules = RULES._replace(max_len=5)
    plain = mr.Search(0, ((0.0, first),))
    while not plain.is_finished:
        plain = mr.advance(plain, rules, lists.get)
    for guide in (None, mr.Guide([6, 6, 6]), mr.Guide(plain.beams[0][1][1:] if plain.beams else [3])):
        counted = mr.Count()
        policy = mr.Policy(extra)
        assert mr.replay(lists, 2, rules, policy, mr.Guesses(), lambda _, guide=guide: guide, counted) == plain
        assert counted.steps == plain.step and max(counted.passes) <= 2 + extra
