import math

import pytest

from fairseq_specdec.config import OptionError, SpecConfig

NAT = {"required": frozenset({"drafter_path"})}
INPUT = {"accepted": frozenset({"draft_rule"})}


def reasons(needs=None, **options):
    with pytest.raises(OptionError) as error:
        SpecConfig(**options).validate(**(needs or {}))
    return error.value.reasons


@pytest.mark.parametrize("block_size", [0, 65, -3])
def test_a_block_size_out_of_range_is_refused(block_size):
    assert reasons(block_size=block_size) == [
        f"--block-size must be in 1..64, got {block_size}: leave it out for the default."
    ]


@pytest.mark.parametrize("tau", [-1.0, math.inf, math.nan])
def test_tau_must_be_finite_and_not_negative(tau):
    assert "--tau must be finite and at least 0" in reasons(beta=3, tau=tau)[0]


def test_tau_without_beta_is_refused_because_it_would_do_nothing():
    assert "--tau must be 0 with --beta 1" in reasons(tau=1.0)[0]


def test_a_relaxed_run_cannot_be_certified():
    assert "--certify needs --beta 1" in reasons(beta=3, tau=1.0, certify=True)[0]


def test_a_precision_must_be_known():
    assert reasons(engine_dtype="int4") == [
        "--engine-dtype must be one of bf16, int8, got int4: leave it out for exact decoding."
    ]


def test_all_reasons_come_at_once():
    found = reasons(block_size=99, beta=0, drafter_path="x.pt", spec_stats="/no/such/folder/stats.json")
    assert [line.split()[0] for line in found] == ["--block-size", "--beta", "--drafter-path", "--spec-stats"]


def test_a_drafter_with_weights_needs_an_existing_file():
    assert "--drafter-path is required by --drafter nat" in reasons(NAT, drafter="nat")[0]
    missing = reasons(NAT, drafter="nat", drafter_path="missing.pt")
    assert missing == ["--drafter-path must be an existing file, got missing.pt: check the path."]


def test_good_options_pass(tmp_path):
    weights = tmp_path / "d.pt"
    weights.touch()
    stats = str(tmp_path / "s.json")
    SpecConfig("nat", str(weights), block_size=64, beta=3, tau=1.0, spec_stats=stats).validate(**NAT)
    SpecConfig("input", draft_rule="published").validate(**INPUT)
    SpecConfig().validate()


def test_options_that_a_drafter_has_no_use_for_are_refused():
    found = reasons(INPUT, drafter="input", draft_file="guesses.txt", drafter_path="d.pt", ngram_corpus="c.txt")
    assert [line.split()[0] for line in found] == ["--drafter-path", "--draft-file", "--ngram-corpus"]
    assert found[1] == (
        "--draft-file is refused by --drafter input, which has no use for a file with one guess for each sentence, got "
        "guesses.txt: leave it out or choose another --drafter."
    )


def test_an_unknown_draft_rule_is_refused_with_the_known_ones():
    found = reasons(INPUT, drafter="input", draft_rule="publshed")
    assert found == ["--draft-rule must be one of edit-aware, published, got publshed: choose one."]
