from argparse import Namespace

import pytest

from fairseq_specdec.config import OptionError, SpecConfig
from fairseq_specdec.options import GenerationOptions, refuse_with_drafts, why_stock

SYMBOLS = 40


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("sampling", True),
        ("diverse_beam_groups", 2),
        ("diversity_rate", 0.5),
        ("constraints", "ordered"),
        ("lm_path", "lm.pt"),
        ("retain_dropout", True),
        ("print_step", True),
        ("retain_iter_history", True),
        ("temperature", 0.0),
        ("temperature", float("nan")),
        ("beam", 20),
        ("beam", 0),
    ],
)
def test_each_option_that_needs_fairseqs_generator_is_named_with_its_value(option, value):
    (reason,) = why_stock(Namespace(**{option: value}), SYMBOLS)
    assert f"--{option.replace('_', '-')}" in reason
    assert f"got {value}" in reason


def test_reasons_come_all_at_once():
    args = Namespace(beam=4, sampling=True, retain_dropout=True)
    assert len(why_stock(args, SYMBOLS, fused_lm=True, restricted=True)) == 4


def test_defaults_of_fairseq_and_every_option_of_beam_search_need_no_other_generator():
    defaults = {"nbest": 1, "sampling": False, "diverse_beam_groups": -1, "diversity_rate": -1.0, "lm_path": None}
    assert why_stock(Namespace(constraints=None, retain_dropout=False, **defaults), SYMBOLS) == []
    served = {"beam": 19, "nbest": 4, "no_repeat_ngram_size": 3, "print_alignment": "soft", "replace_unk": ""}
    assert why_stock(Namespace(**served), SYMBOLS) == []


def test_beams_with_drafts_are_refused_with_the_remedy():
    refuse_with_drafts(GenerationOptions(beam=5), SpecConfig(), False)
    refuse_with_drafts(GenerationOptions(), SpecConfig("nat", beta=3), False)
    with pytest.raises(OptionError) as error:
        refuse_with_drafts(GenerationOptions(beam=5), SpecConfig("nat", beta=3), False)
    assert error.value.reasons == [
        "--beam must be 1 with --drafter nat, got 5 (fairseq's default): pass --beam 1 or leave --drafter nat out.",
        "--beam must be 1 with --beta 3, got 5 (fairseq's default): pass --beam 1 or leave --beta 3 out.",
    ]
    with pytest.raises(OptionError, match="--beam must be 1 with --draft-rule published, got 4: pass --beam 1"):
        refuse_with_drafts(GenerationOptions(beam=4), SpecConfig("input", draft_rule="published"), True)


def test_the_maximum_length_counts_the_padded_source_and_the_models_positions():
    assert GenerationOptions(max_len_a=0.5, max_len_b=3).max_len(9, 7, 1024) == 7
    assert GenerationOptions().max_len(9, 7, 100) == 99
    assert GenerationOptions(match_source_len=True).max_len(9, 7, 100) == 7


def test_a_minimum_above_the_maximum_length_is_refused():
    with pytest.raises(OptionError, match=r"--min-len must not exceed the maximum length of the batch \(10\), got 11"):
        GenerationOptions(min_len=11, max_len_b=10).max_len(5, 5, 1024)


def test_options_are_read_from_whatever_namespace_holds_them():
    read = GenerationOptions.from_args(Namespace(unnormalized=True, lenpen=0.6, max_len_b=50, no_repeat_ngram_size=3))
    assert read == GenerationOptions(beam=5, normalize=False, lenpen=0.6, max_len_b=50, no_repeat_ngram_size=3)
    assert GenerationOptions.from_args(Namespace(beam=2)).beam == 2
