from argparse import Namespace

import pytest

from fairseq_specdec.config import OptionError
from fairseq_specdec.options import GenerationOptions, refuse_unsupported


def test_the_default_beam_of_fairseq_is_refused_with_the_remedy():
    with pytest.raises(OptionError) as error:
        refuse_unsupported(Namespace())
    assert error.value.reasons == [
        "--beam must be 1 with --task translation_specdec, got 5 (fairseq's default): pass --beam 1."
    ]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("nbest", 2),
        ("sampling", True),
        ("diverse_beam_groups", 2),
        ("diversity_rate", 0.5),
        ("constraints", "ordered"),
        ("lm_path", "lm.pt"),
        ("retain_dropout", True),
        ("no_repeat_ngram_size", 3),
        ("print_alignment", "hard"),
        ("replace_unk", ""),
        ("print_step", True),
        ("retain_iter_history", True),
    ],
)
def test_each_unsupported_option_is_refused_by_name_with_its_value(option, value):
    with pytest.raises(OptionError) as error:
        refuse_unsupported(Namespace(beam=1, **{option: value}))
    (reason,) = error.value.reasons
    assert f"--{option.replace('_', '-')}" in reason
    assert f"got {value}" in reason


def test_refusals_come_all_at_once():
    with pytest.raises(OptionError) as error:
        refuse_unsupported(Namespace(beam=4, sampling=True, retain_dropout=True), fused_lm=True, restricted=True)
    assert len(error.value.reasons) == 5


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_the_temperature_must_be_positive(temperature):
    with pytest.raises(OptionError, match=f"--temperature must be greater than 0, got {temperature}"):
        refuse_unsupported(Namespace(beam=1, temperature=temperature))


def test_defaults_of_fairseq_other_than_beam_pass():
    defaults = {"nbest": 1, "sampling": False, "diverse_beam_groups": -1, "diversity_rate": -1.0, "lm_path": None}
    refuse_unsupported(Namespace(beam=1, constraints=None, retain_dropout=False, no_repeat_ngram_size=0, **defaults))


def test_the_maximum_length_counts_the_padded_source_and_the_models_positions():
    assert GenerationOptions(max_len_a=0.5, max_len_b=3).max_len(9, 7, 1024) == 7
    assert GenerationOptions().max_len(9, 7, 100) == 99
    assert GenerationOptions(match_source_len=True).max_len(9, 7, 100) == 7


def test_a_minimum_above_the_maximum_length_is_refused():
    with pytest.raises(OptionError, match=r"--min-len must not exceed the maximum length of the batch \(10\), got 11"):
        GenerationOptions(min_len=11, max_len_b=10).max_len(5, 5, 1024)


def test_options_are_read_from_whatever_namespace_holds_them():
    read = GenerationOptions.from_args(Namespace(unnormalized=True, lenpen=0.6, max_len_b=50, beam=1))
    assert read == GenerationOptions(normalize=False, lenpen=0.6, max_len_b=50)
