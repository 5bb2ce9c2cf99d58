"""Where the copy of a guide goes on; the guide is the source here, and the verifier knows the output."""

import pytest
import torch

from fairseq_specdec.blocks import Source
from fairseq_specdec.drafters.input import InputDrafter
from fairseq_specdec.rules.limits import Limits
from fairseq_specdec.search.state import DecodeState
from tests.oracle import EOS, PAD, UNK, Words, fresh_state, simulate

CORRECTIONS = [
    ("She see the big red house on hill .", "She sees the big red house on the hill ."),
    ("He go to school every days .", "He goes to school every day ."),
    ("I have went to the the store yesterday .", "I went to the store yesterday ."),
    ("the cat sat on the mat and the dog sat on the rug .", "the cat sat on the mat , and the dog lay on the rug ."),
    ("In my opinion I thinks that is good idea .", "In my opinion , I think that it is a good idea ."),
    ("He is more taller than me .", "He is taller than me ."),
    ("We discussed about the plan in the meeting with the boss .", "We discussed the plan in the meeting ."),
    ("There is many men in the park and there is many dogs .", "There are many men in the park and many dogs ."),
    ("the end of the day of the week of the year", "at the end of the day of the week of the year"),
    ("I am agree with you because you are right", "I agree with you because you are right ."),
    ("She is the girl which I met in the party at the house", "She is the girl whom I met at the party in the house"),
    ("Thanks for the mail that you send me , it make me happy .", "Thank you for the email that you sent me ."),
    ("one two three four five six seven", "one two three"),
    ("Although it was raining but we went out .", "Although it was raining , we went out ."),
    ("people people people work work hard", "people work hard"),
    ("a a a a a b a a a a", "a a a b a a a a"),
    ("He said me that he will come tomorrow .", "He told me that he would come the next day ."),
    ("the man the woman the boy the girl", "a man the woman the boy a girl"),
    ("x y z", "w x y z"),
    ("x y z", "y z"),
    ("x y z", "x y z"),
    ("x", "y"),
    ("", "x y"),
    ("x y", ""),
]


def drafts(source, output, block_size=32, edit_aware=True):
    return simulate(InputDrafter(None, block_size, edit_aware), (source, output)).drafts


def published(source, output):
    return drafts(source, output, edit_aware=False)


def rounds(source, output, edit_aware, block_size=32):
    return simulate(InputDrafter(None, block_size, edit_aware), (source, output)).rounds


def test_the_first_draft_is_the_guide_with_its_end():
    assert drafts("a b c d", "a b c d") == ["a b c d [.]"]


def test_a_full_draft_that_was_right_goes_on_behind_the_token_after_it():
    assert drafts("a b c d e f g", "a b c d e f g", block_size=3) == ["a b c", "e f g"]


def test_after_a_substitution_the_copy_goes_on_behind_the_replaced_token():
    assert drafts("a b c d e", "a b X d e") == ["a b c d e [.]", "d e [.]"]


def test_after_two_substitutions_in_a_row_too():
    assert drafts("a b c d e", "a X Y d e") == ["a b c d e [.]", "c d e [.]", "d e [.]"]


def test_after_a_deletion_the_copy_goes_on_behind_the_token_that_came_early():
    assert drafts("a b c d e", "a b d e") == ["a b c d e [.]", "e [.]"]


def test_after_an_insertion_the_copy_comes_back_to_the_token_that_was_put_off():
    assert drafts("a b c d e", "a b X c d e") == ["a b c d e [.]", "d e [.]", "d e [.]"]


def test_of_several_places_the_one_with_the_longest_common_suffix_wins():
    assert drafts("a b c x y c z", "a b X y c z")[1:] == ["x y c z [.]", "c z [.]"]


def test_of_places_with_equal_suffixes_the_nearest_wins_and_of_two_as_near_the_earlier():
    assert drafts("the 1 2 3 the 4 5 the 6", "the 1 2 the 4 5 the 6")[1:] == ["4 5 the 6 [.]"]
    assert drafts("the 1 the 2", "X the 1 the 2")[1:] == ["1 the 2 [.]", "1 the 2 [.]"]


def test_repeated_tokens_do_not_lose_the_place():
    assert drafts("no no no no yes no no", "no no no no no yes no no")[1:] == ["yes no no [.]"]
    assert rounds("no no no no yes no no", "no no no yes no no", True) == 2


def test_the_copy_ends_with_the_guide():
    assert drafts("a b", "a b c d") == ["a b [.]", "", ""]
    assert drafts("a b", "a X Y Z") == ["a b [.]", "[.]", "", ""]


def test_words_deleted_at_the_end_cost_no_round():
    assert rounds("a b c d e f", "a b c", True) == rounds("a b c d e f", "a b c", False) == 1


def test_the_published_rule_drafts_nothing_until_a_suffix_is_unique():
    assert published("a b c d e", "a b X Y c d e")[1:] == ["", "", "d e [.]"]


def test_the_published_rule_lengthens_a_suffix_that_occurs_several_times():
    source, output = "the cat and the dog and the cow", "X the dog and the cow"
    assert published(source, output) == ["the cat and the dog and the cow [.]", "", "", "and the cow [.]"]
    assert drafts(source, output)[1:] == ["cat and the dog and the cow [.]", "cat and the dog and the cow [.]"] + [
        "and the cow [.]"
    ]
    assert published("p q r q s", "X p q t")[2] == "q r q s [.]"  # p is unique, q would not be


def test_the_published_rule_takes_the_shortest_suffix_that_is_unique():
    # "b c" occurs once, behind it stands "e"; "c" alone occurs twice
    assert published("c d b c e", "X b c e")[2:] == ["c e [.]"]


def test_the_published_rule_goes_on_copying_where_nothing_broke_off():
    source = "a a a a a a a b"
    assert simulate(InputDrafter(None, 3, edit_aware=False), (source, source)).drafts == ["a a a", "a a a", "[.]"]


def test_the_published_rule_looks_at_three_tokens_at_most():
    source = "1 a b c x 2 a b c y"
    assert published(source, "Z a b c y")[1:] == ["", "", "", "", "[.]"]


@pytest.mark.parametrize("block_size", [1, 4, 32])
@pytest.mark.parametrize("case", CORRECTIONS, ids=[output for _, output in CORRECTIONS])
def test_the_edit_aware_rule_takes_no_more_rounds_than_the_published_one(case, block_size):
    assert rounds(*case, True, block_size) <= rounds(*case, False, block_size)


def test_the_edit_aware_rule_takes_a_fifth_fewer_rounds_over_all_corrections():
    ours, theirs = (sum(rounds(*case, rule) for case in CORRECTIONS) for rule in (True, False))
    assert ours <= 0.8 * theirs


@pytest.mark.parametrize("edit_aware", [True, False])
@pytest.mark.parametrize("left_pad", [True, False])
@pytest.mark.parametrize("block_size", [1, 4, 32])
def test_rows_that_advance_by_different_numbers_and_end_early_do_not_disturb_each_other(
    block_size, left_pad, edit_aware
):
    words = Words()
    alone = sum(simulate(InputDrafter(None, block_size, edit_aware), case, words=words).rounds for case in CORRECTIONS)
    together = simulate(InputDrafter(None, block_size, edit_aware), *CORRECTIONS, words=words, left_pad=left_pad)
    assert together.rounds == alone


def test_a_guide_of_a_thousand_tokens_is_copied_in_blocks():
    source = "a b c " * 333
    assert rounds(source, source, True) == -(-1000 // 33)
    assert rounds(source, source, False) == -(-1000 // 33)
    assert rounds(source, "X " + source, True) <= 1000 // 33 + 3


def test_a_drafter_starts_anew_with_every_batch():
    drafter = InputDrafter(None, 32)
    for _ in range(2):
        assert simulate(drafter, ("a b c", "a X c")).drafts == ["a b c [.]", "c [.]"]


def test_what_stands_behind_a_guides_end_is_never_drafted():
    drafter = InputDrafter(None, 3)
    drafter.start(Source(torch.tensor([[5, 6, 7, 8], [5, -1, -1, -1]]), torch.tensor([4, 1]), PAD), fresh_state())
    draft = drafter.propose(fresh_state(2))
    assert draft.lengths.tolist() == [3, 1]
    assert draft.tokens[0].tolist() == [5, 6, 7]


def test_rounds_without_a_draft_do_not_lose_the_place():
    drafter, state = InputDrafter(None, 9), DecodeState(Limits(PAD, UNK, EOS, 20), torch.full((1,), EOS), 9)
    drafter.start(Source(torch.tensor([[5, 6, 7, 8, 9, EOS]]), torch.tensor([6]), PAD), fresh_state())
    for token in (15, 16):  # neither is in the guide: they stand for its first two
        state.tokens[0, state.lengths] = token
        state.lengths += 1
        drafter.advance(torch.tensor([1]))
    assert drafter.propose(state).tokens[0, :4].tolist() == [7, 8, 9, EOS]


def test_an_empty_guide_drafts_nothing():
    drafter = InputDrafter(None, 3)
    drafter.start(Source(torch.tensor([[9]]), torch.tensor([0]), PAD), fresh_state())
    assert drafter.propose(fresh_state()).lengths.tolist() == [0]
