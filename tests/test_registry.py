import pytest

from fairseq_specdec.registry import Registry


def test_an_unknown_name_is_answered_with_the_nearest_and_all_known_ones():
    registry = Registry("drafter")
    registry.register("ngram")(int)
    registry.register("none")(str)
    with pytest.raises(ValueError, match=r"Unknown drafter 'ngrm'. Did you mean 'ngram'\? Known: ngram, none."):
        registry["ngrm"]


def test_a_registered_class_is_found_and_listed_in_order():
    registry = Registry("drafter")
    for name, cls in (("b", int), ("a", str)):
        assert registry.register(name)(cls) is cls
    assert registry["b"] is int
    assert list(registry) == ["a", "b"]
