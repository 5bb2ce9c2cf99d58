from pathlib import Path

import fairseq_specdec
from fairseq_specdec.cli.main import main


def test_the_folder_that_holds_the_package_is_printed_alone(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["user-dir"]) == 0
    assert capsys.readouterr().out == f"{Path(fairseq_specdec.__file__).parent}\n"
