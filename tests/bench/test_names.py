import pytest

from fairseq_specdec.bench.names import Wanted, check_options, parse_systems
from fairseq_specdec.config import OptionError

DRAFTERS = ("nat", "ngram", "none")


def test_systems_keep_their_order_and_options():
    found, added = parse_systems("none, fairseq,fairseq-beam5,nat:block=8:tau=1,ctranslate2:beam=5", DRAFTERS)
    assert added == []
    assert found == [
        Wanted("none", "none"),
        Wanted("fairseq", "fairseq"),
        Wanted("fairseq-beam5", "fairseq", beam=5),
        Wanted("nat:block=8:tau=1", "nat", options={"block": "8", "tau": "1"}),
        Wanted("ctranslate2:beam=5", "ctranslate2", beam=5),
    ]


def test_what_speed_ups_refer_to_is_added():
    found, added = parse_systems("nat,none:block=2", DRAFTERS)
    assert added == ["fairseq", "none"]
    assert [wanted.label for wanted in found] == ["fairseq", "none", "nat", "none:block=2"]
    found, added = parse_systems("none:beam=4,ctranslate2:beam=4,fairseq", DRAFTERS)
    assert added == ["none", "fairseq-beam4"]
    assert [(wanted.kind, wanted.beam) for wanted in found] == [
        ("none", 1), ("fairseq", 4), ("none", 4), ("ctranslate2", 4), ("fairseq", 1),
    ]  # fmt: skip


def test_all_that_is_wrong_with_the_names_is_said_at_once():
    with pytest.raises(OptionError) as refused:
        parse_systems("ngrm,nat:beta,fairseq,fairseq,fairseq-beam0,none:beam=0", DRAFTERS)
    assert refused.value.reasons == [
        "--systems: unknown system 'ngrm'. Did you mean 'ngram'? Known: ctranslate2, fairseq, nat, ngram, none, "
        "fairseq-beamN.",
        "--systems must be name[:option=value...], got nat:beta: write it like nat:beta=3:tau=1.",
        "--systems: unknown system 'fairseq-beam0'. Did you mean 'fairseq'? Known: ctranslate2, fairseq, nat, ngram, "
        "none, fairseq-beamN.",
        "--systems none:beam=0: beam must be at least 1, got 0: write beam=5.",
        "--systems must not name a system twice, got fairseq twice: leave one out.",
    ]


def test_drafters_that_are_asked_in_turn_have_a_plus_sign_between():
    found, _ = parse_systems("ngram+nat:block=4,none", DRAFTERS)
    assert [(one.kind, one.options) for one in found[1:]] == [("ngram+nat", {"block": "4"}), ("none", {})]
    with pytest.raises(OptionError) as refused:
        parse_systems("ngrm+nat,nat+fairseq", DRAFTERS)
    assert refused.value.reasons == [
        "--systems: unknown system 'ngrm'. Did you mean 'ngram'? Known: ctranslate2, fairseq, nat, ngram, none, "
        "fairseq-beamN.",
        "--systems must put + between drafters alone, got nat+fairseq: write nat,fairseq.",
    ]


def test_options_are_found_by_their_other_names():
    wanted = Wanted("nat", "nat", options={"k": "8", "draft-rule": "published"})
    found = check_options(wanted, {"block_size", "draft_rule"}, {"k": "block_size"})
    assert found == {"block_size": "8", "draft_rule": "published"}


def test_unknown_option_is_refused_with_the_known_ones():
    with pytest.raises(OptionError, match=r"unknown option 'bta'. Did you mean beta\? Known: beta, block_size, k \("):
        check_options(Wanted("nat:bta=3", "nat", options={"bta": "3"}), {"beta", "block_size"}, {"k": "block_size"})


def test_option_under_two_names_is_refused():
    wanted = Wanted("nat:k=1:block_size=2", "nat", options={"k": "1", "block_size": "2"})
    with pytest.raises(OptionError, match="block_size must be given once"):
        check_options(wanted, {"block_size"}, {"k": "block_size"})
