"""The script that measures look-ups, on a corpus small enough for a test."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import ngram_lookup  # noqa: E402

PAGE = "# Title\n\n<!-- table lookups: written by a script -->\n<!-- end lookups -->\n"


def test_it_writes_numbers_and_a_table(monkeypatch, tmp_path):
    for name, value in {"SIZES": (0, 5_000), "SYMBOLS": 100, "SENTENCES": 6, "LENGTH": 10}.items():
        monkeypatch.setattr(ngram_lookup, name, value)
    (tmp_path / "page.md").write_text(PAGE)
    arguments = ["--out", str(tmp_path / "out.json"), "--page", str(tmp_path / "page.md")]
    monkeypatch.setattr(sys, "argv", ["ngram_lookup", *arguments])
    ngram_lookup.main()
    without, with_corpus = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert without["drafts"] == with_corpus["drafts"] == 6 * 10
    assert without["places_looked_at"] == 0 < with_corpus["places_looked_at"]
    assert with_corpus["draft_tokens"] > without["draft_tokens"]
    assert "| 5,000 |" in (tmp_path / "page.md").read_text()
