import math

import pytest
import torch

from fairseq_specdec.certificate import LARGEST, Certificate
from fairseq_specdec.cli.certify_verdict import Finding, Listed, SearchMade, judge, match_places
from fairseq_specdec.search.candidates import Candidates

EOS, BOUND = 2, 1e-4


def step(*candidates):
    """One step of a search with beam 2: four times (total, token, beam)."""
    totals, tokens, beams = zip(*candidates, strict=True)
    return Candidates(torch.tensor([totals]), torch.tensor([tokens]), torch.tensor([beams]))


def one(*ids, each=None, score=None):
    """A hypothesis; its score is the sum of what its tokens have."""
    each = each or [-1.0] * len(ids)
    return Listed(ids, sum(each) if score is None else score, each)


BEST, SECOND = one(5, 5, EOS, each=[-1, -0.5, -0.1]), one(6, 5, EOS, each=[-2, -0.5, -0.1])


def search(margin, found=(BEST, SECOND)):
    """A search that keeps 5 5 and 6 5 in its second step, and drops 5 6, which is worse by a margin."""
    steps = [
        step((-1.0, 5, 0), (-2.0, 6, 0), (-3.0, 7, 0), (-4.0, 8, 0)),
        step((-1.5, 5, 0), (-2.5, 5, 1), (-2.5 - margin, 6, 0), (-4.0, 6, 1)),
        step((-1.6, EOS, 0), (-2.6, EOS, 1), (-5.0, 5, 0), (-6.0, 5, 1)),
    ]
    return SearchMade(list(found), lambda: iter(steps), EOS, range(10))


def kinds(log, made, n_best=2, stock=None):
    return [finding.kind for finding in judge(log, stock or log, made, n_best, BOUND)]


def test_the_same_list_is_exact():
    assert judge([BEST, SECOND], [BEST, SECOND], search(0.5), 2, BOUND) == [Finding("exact"), Finding("exact")]


@pytest.mark.parametrize(("apart", "kind"), [(5e-5, "near_tie"), (2e-4, "wrong")])
def test_hypotheses_may_change_places_only_where_they_nearly_tie(apart, kind):
    a, b = BEST._replace(score=-1.0), SECOND._replace(score=-1.0 - apart)
    assert kinds([b, a], search(0.5, [a, b])) == [kind, kind]


@pytest.mark.parametrize(("margin", "kind"), [(5e-5, "near_tie"), (2e-4, "wrong")])
def test_a_hypothesis_that_the_search_dropped_at_a_near_tie_is_one(margin, kind):
    dropped = one(5, 6, EOS, each=[-1, -1.5 - margin, -0.05])
    finding = judge([BEST, dropped], [BEST, dropped], search(margin), 2, BOUND)[1]
    assert finding.kind == kind
    assert finding.gap == pytest.approx(margin, rel=1e-2)
    assert "hypothesis 2 leaves the search at token 2, " in finding.reason


def test_a_near_tie_explains_what_leaves_the_search_later_and_nothing_before():
    later, same_step = one(5, 5, 5, EOS, each=[-1, -0.5, -0.3, -0.1]), one(6, 6, EOS, each=[-2, -2, -0.1])
    assert kinds([BEST, later], search(5e-5)) == ["exact", "near_tie"]
    told = "leaves the search at token 4, where it had ended, after a near tie of the search at token 2"
    assert told in judge([later], [later], search(5e-5), 2, BOUND)[0].reason
    assert kinds([BEST, later], search(2e-4)) == ["exact", "wrong"]
    assert kinds([BEST, same_step], search(5e-5)) == ["exact", "wrong"]


def test_eos_behind_the_first_of_the_beam_at_a_near_tie_is_one():
    for margin, kind in ((5e-5, "near_tie"), (2e-4, "wrong")):
        steps = [step((-1.0, 5, 0), (-2.0, 6, 0), (-2.0 - margin, EOS, 0), (-4.0, 8, 0))]
        made = SearchMade([BEST, SECOND], lambda steps=steps: iter(steps), EOS, range(10))
        assert kinds([one(EOS, each=[-2.0 - margin], score=-1.0), BEST], made) == [kind, "exact"]


def test_one_from_behind_the_list_is_wrong_unless_it_nearly_ties_with_the_last():
    assert kinds([SECOND], search(0.5), n_best=1) == ["wrong"]
    close = SECOND._replace(score=BEST.score - 5e-5)
    assert kinds([close], search(0.5, [BEST, close]), n_best=1) == ["near_tie"]


def test_what_the_list_lacks_is_wrong_and_what_is_left_is_exact():
    assert judge([SECOND], [SECOND], search(0.5), 2, BOUND) == [
        Finding("exact"),
        Finding("wrong", math.inf, "has 1 hypotheses where the search gives 2"),
    ]


def test_scores_are_held_against_stock_though_the_hypothesis_is_right():
    said = SECOND._replace(score=SECOND.score + 2e-4)
    assert kinds([BEST, said], search(0.5), stock=[BEST, SECOND]) == ["exact", "wrong"]
    said = SECOND._replace(each=[-2, -0.5, -0.1002])
    assert kinds([BEST, said], search(0.5), stock=[BEST, SECOND]) == ["exact", "wrong"]
    rounded = SECOND._replace(each=[-2, -0.5, -0.10003], score=SECOND.score + 5e-5)
    assert kinds([BEST, rounded], search(0.5), stock=[BEST, SECOND]) == ["exact", "exact"]


def test_a_token_that_could_not_be_chosen_is_wrong_whatever_the_log_says():
    banned = one(5, 5, EOS, each=[-1, -math.inf, -0.1])
    finding = judge([banned], [banned], search(0.5), 1, BOUND)[0]
    assert (finding.kind, finding.counted()) == ("wrong", Certificate(1, wrong=1, largest_gap=LARGEST))


def test_each_hypothesis_of_the_search_is_matched_once():
    a, b, c = (5, EOS), (6, EOS), (7, EOS)
    assert match_places([a, b, c], [a, b, c]) == [0, 1, 2]
    assert match_places([b, a, a], [a, b]) == [1, 0, None]
    assert match_places([a, a], [a, a]) == [0, 1]
    assert kinds([BEST, BEST], search(5e-5)) == ["exact", "wrong"]
