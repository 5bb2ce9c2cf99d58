"""Recipes: what a step's commands become, what is done again and what not; the shipped recipe at its smallest size."""

import importlib.metadata
import io
import json
import logging
import os
import random
import runpy
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "scripts" / "data"), str(ROOT / "scripts" / "train")]

import german_english  # noqa: E402
import run_recipe  # noqa: E402

TOY = """
values:
  greeting: hello there
  count: 3
tiny:
  count: 1
steps:
  - name: words
    about: a word many times
    inputs: ["{from}"]
    run:
      - python -c "import sys; open(sys.argv[1], 'w').write(' '.join(sys.argv[2:]) * {count})" {out} {greeting}
  - name: more-words
    about: the same and a word
    inputs: [words]
    run:
      - python -c "import sys; open(sys.argv[2], 'w').write(open(sys.argv[1]).read() + '!')" {words} {out}
"""


@pytest.fixture
def toy(tmp_path):
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "recipe.yaml").write_text(TOY)
    return folder


def run(folder, *options):
    """Run a recipe in its own folder; return the exit status and what was said."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = run_recipe.main([str(folder), "--work", str(folder / "work"), *map(str, options)])
    return code, said.getvalue()


def test_steps_run_in_order_and_are_left_out_once_they_are_done(toy):
    code, said = run(toy, "--from", toy)
    assert code == 0 and "[2/2] more-words: the same and a word" in said
    assert (toy / "work" / "more-words").read_text() == "hello there" * 3 + "!"
    before = (toy / "work" / "words").stat().st_mtime_ns
    code, said = run(toy, "--from", toy)
    assert code == 0 and said.count("done before") == 2
    assert (toy / "work" / "words").stat().st_mtime_ns == before
    assert not list(toy.rglob("*.part"))


def test_a_step_that_is_asked_for_runs_again(toy):
    run(toy, "--from", toy)
    (toy / "work" / "words").write_text("other")
    code, _ = run(toy, "--step", "more-words")
    assert code == 0 and (toy / "work" / "more-words").read_text() == "other!"


def test_the_smallest_size_takes_other_values(toy):
    run(toy, "--from", toy, "--scale", "tiny")
    assert (toy / "work" / "words").read_text() == "hello there"


def test_a_dry_run_prints_commands_and_runs_none(toy):
    code, said = run(toy, "--from", toy, "--dry-run")
    assert code == 0 and f"{toy / 'work' / 'words'} {toy / 'work' / 'more-words'}" in said and "hello there" in said
    assert not (toy / "work").exists()


def test_half_a_result_is_thrown_away_or_gone_on_from(toy):
    (toy / "work").mkdir()
    (toy / "work" / "words.part").mkdir()  # what an interrupted run left; the command would fail on it
    code, _ = run(toy, "--from", toy)
    assert code == 0 and (toy / "work" / "words").is_file()
    (toy / "recipe.yaml").write_text(
        "steps: [{name: going, about: on, resume: true, run: ['touch {out}/later']}]", encoding="utf-8"
    )
    (toy / "work" / "going.part").mkdir()
    (toy / "work" / "going.part" / "earlier").touch()
    assert run(toy)[0] == 0
    assert {path.name for path in (toy / "work" / "going").iterdir()} == {"earlier", "later"}


def test_a_failure_shows_the_end_of_the_log_and_leaves_no_result(toy):
    (toy / "recipe.yaml").write_text(TOY.replace("'!')", "'!'); sys.exit('no luck')"))
    code, said = run(toy, "--from", toy)
    assert code == 1 and "step more-words failed with status 1" in said and "no luck" in said
    assert not (toy / "work" / "more-words").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--step", "word"], "got 'word': known are words, more-words"),
        (["--step", "more-words"], "(step words), which is not there"),
        ([], "pass --from DIR"),
    ],
)
def test_what_cannot_be_run_is_refused_with_the_remedy(toy, options, reason):
    code, said = run(toy, *options)
    assert code == 1 and reason in said


def test_unknown_names_and_missing_recipes_are_refused(toy):
    (toy / "recipe.yaml").write_text("steps: [{name: a, about: b, run: ['echo {nothing}']}]")
    assert "{nothing} in '{nothing}' has no value" in run(toy)[1]
    (toy / "recipe.yaml").unlink()
    assert "must be a folder with a recipe.yaml" in run(toy)[1]


def test_progress_lines_say_what_matters():
    training = "x | INFO | train_inner | epoch 002:     50 / 216 loss=3.81, nll_loss=2.36, num_updates=266, lr=0.1"
    generation = "x | INFO | fairseq.logging.progress_bar | :     25 / 400 wps=120"
    validation = "x | INFO | valid | epoch 001 | valid on 'valid' subset | loss 4.2 | acceptance_length 2.5 | wps 1"
    assert run_recipe.describe(training) == "update 266, loss 3.81"
    assert run_recipe.describe(generation) == "batch 25 of 400"
    assert run_recipe.describe(validation) == "validation loss 4.2, acceptance length 2.5"
    assert run_recipe.describe("H-3\t-0.1\ter | 1 / 2 Uhr") is None


@pytest.fixture
def in_process(monkeypatch):
    """Run what a recipe starts in this process, since another takes seconds to start; put back what training sets."""
    for name in ("MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"):
        monkeypatch.setenv(name, os.environ.get(name, ""))  # else cpu_train.py starts itself anew with them
    monkeypatch.setattr(torch.nn.functional, "dropout", torch.nn.functional.dropout)
    precision, flash = torch.get_float32_matmul_precision(), torch.backends.cuda.flash_sdp_enabled()
    scripts = {script.name: script for script in importlib.metadata.entry_points(group="console_scripts")}

    def follow(words, log):
        monkeypatch.setattr(sys, "argv", words[1:] if words[0] == "python" else words)
        if words[0] in ("mkdir", "cp", "sed", "gzip"):
            return original(words, log)
        with redirect_stdout(log), redirect_stderr(log):
            if words[0] == "python":
                try:
                    runpy.run_path(str(ROOT / words[1]), run_name="__main__")
                except SystemExit as end:
                    return end.code or 0
                finally:
                    logging.disable(logging.NOTSET)  # some are quiet, and end with it
                return 0
            return scripts[words[0]].load()() or 0

    original = run_recipe._follow
    monkeypatch.setattr(run_recipe, "_follow", follow)
    monkeypatch.chdir(ROOT)
    yield
    torch.set_float32_matmul_precision(precision)
    torch.backends.cuda.enable_flash_sdp(flash)


def sentences(count, seed):
    """Make sentences of two languages that tell enough apart for a SentencePiece model."""
    rng = random.Random(seed)
    words = {"en": "the small house stands near an old river and she sees it every day because he works there".split()}
    words["de"] = "das kleine Haus steht an einem alten Fluss und sie sieht es jeden Tag weil er dort arbeitet".split()
    picks = [[rng.randrange(17) for _ in range(rng.randint(6, 12))] for _ in range(count)]
    return {lang: [" ".join(own[i] for i in pick).capitalize() + "." for pick in picks] for lang, own in words.items()}


def write_sentences(folder, name, count, seed):
    """Write name.de and name.en."""
    folder.mkdir(exist_ok=True)
    for lang, lines in sentences(count, seed).items():
        (folder / f"{name}.{lang}").write_text("".join(f"{line}\n" for line in lines))


def test_the_shipped_recipe_runs_at_its_smallest_size(in_process, tmp_path):
    for seed, (split, count) in enumerate({"train": 60, "valid": 8, "test": 8}.items()):
        write_sentences(tmp_path / "tatoeba_de-en", split, count, seed)
    work = tmp_path / "work"
    code = run_recipe.main(
        [str(ROOT / "models" / "quickstart"), "--from", str(tmp_path), "--work", str(work), "--scale", "tiny"]
    )
    assert code == 0
    assert {path.name for path in (work / "checkpoints").iterdir()} == {
        f"{name}.{kind}" for name in ("verifier", "corrector") for kind in ("pt", "spm", "dict.txt")
    } | {"drafter.pt"}
    found = json.loads((work / "results.json").read_text())
    assert [model["name"] for model in found["shipped"]] == ["corrector", "drafter", "verifier"]
    for name, exact in (("translation", "nat:block=6"), ("correction", "input:block=16")):
        rows = {row["system"]: row for row in found["whole"][name]}
        assert rows[exact]["sentences"] == 4 and rows[exact]["identical"] == 1.0


def test_the_recipe_of_the_beams_names_what_is_there(tmp_path):
    for name in ("tatoeba_de-en", "multi30k", "jfleg"):
        (tmp_path / name).mkdir()
    folder, said = ROOT / "models" / "quickstart" / "beams", io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = run_recipe.main([str(folder), "--from", str(tmp_path), "--work", str(tmp_path / "work"), "--dry-run"])
    assert code == 0 and "# jfleg: English correction" in said.getvalue()
    scripts = {Path(word) for word in said.getvalue().split() if word.startswith("scripts/")}
    assert scripts == {
        Path("scripts/data/spm.py"),
        *(Path(f"scripts/train/{name}_results.py") for name in ("beam", "draft")),
    }
    assert all((ROOT / script).is_file() for script in scripts)
    page = (ROOT / "models" / "quickstart" / "README.md").read_text()
    tables = [f"<!-- table {kind}-{name}:" for kind in ("beams", "drafts") for name in ("tatoeba", "multi30k", "jfleg")]
    assert all(table in page for table in tables)


def test_no_sentence_to_learn_from_is_one_to_check_on(tmp_path):
    for seed, (folder, name) in enumerate([*german_english.TRAIN, *german_english.HELD_OUT.values()]):
        write_sentences(tmp_path / folder, name, 4, seed)
    shown = (tmp_path / "tatoeba_de-en" / "test.en").read_text().splitlines()
    train = tmp_path / "multi30k" / "train.en"
    train.write_text("".join(f"{line}\n" for line in [shown[0].upper(), "", "word " * 61, "kept"]))
    german_english.prepare(tmp_path, tmp_path / "out", most_words=60)
    learned = (tmp_path / "out" / "train.en").read_text().splitlines()
    assert "kept" in learned and len(learned) == 4 * len(german_english.TRAIN) - 3
    assert (tmp_path / "out" / "test.en").read_text().splitlines() == shown
