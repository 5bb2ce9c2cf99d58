from tests.parity import PAGE, Parity


def test_the_page_of_options_drafters_and_beams_is_what_is_so(tmp_path):
    assert Parity(tmp_path).page() == PAGE.read_text("utf-8"), "run make parity, and read what has changed"
