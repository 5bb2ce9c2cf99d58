import pytest

from fairseq_specdec.config import OptionError
from fairseq_specdec.wording import for_eval_bleu, for_python, worded

BEAM = "--beam must be 1 with --drafter nat, got 5 (fairseq's default): pass --beam 1 or leave --drafter nat out."


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (BEAM, "beam must be 1 with drafter nat, got 5 (fairseq's default): pass beam=1 or leave drafter nat out."),
        ("--tau must be low, got inf: pass --tau 0.5 or less.", "tau must be low, got inf: pass tau=0.5 or less."),
        ("--draft-rule is odd: pass --draft-rule published.", "draft_rule is odd: pass draft_rule='published'."),
        ("--nbest must be 1 with --task translation_specdec, got 2.", "nbest must be 1, got 2."),
        ("it is odd: leave it out, or use --task translation (got 2).", "it is odd: leave it out (got 2)."),
        ("a\n  - b\nUse --task translation instead.", "a\n  - b\nUse fairseq's own generator."),
        ("check --path (and --fp16, if it overflows).", "check verifier (and dtype='float16', if it overflows)."),
        ("got /a--b/--c-- and x--y: check the path.", "got /a--b/--c-- and x--y: check the path."),
    ],
)  # fmt: skip
def test_options_become_arguments_for_callers_from_python(message, expected):
    assert for_python(message) == expected


def test_options_of_generation_are_in_the_arguments_of_eval_bleu():
    assert for_eval_bleu(BEAM, {"beam"}) == (
        "beam in --eval-bleu-args must be 1 with --drafter nat, got 5 (fairseq's default): pass --eval-bleu-args "
        "'{\"beam\": 1}' or leave --drafter nat out."
    )
    assert for_eval_bleu("--max-len-b is low: raise --max-len-b.", {"max_len_b"}) == (
        "max_len_b in --eval-bleu-args is low: raise max_len_b in --eval-bleu-args."
    )


def test_every_reason_and_the_text_of_an_error_are_changed_and_its_type_is_kept():
    with pytest.raises(OptionError) as error, worded(for_python):
        raise OptionError(["--beta is low", "--tau is high"])
    assert error.value.reasons == ["beta is low", "tau is high"]
    assert str(error.value) == "beta is low\ntau is high"
    with pytest.raises(RuntimeError, match="^verifier is missing$"), worded(for_python):
        raise RuntimeError("--path is missing")
    with pytest.raises(KeyError, match="--path"), worded(for_python):
        raise KeyError("--path")
