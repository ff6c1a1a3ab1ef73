"""The program as a process: help, exit codes, one line per error, pipes and interrupts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sklearn_transfer.cli.program import program

MODULE = [sys.executable, "-m", "sklearn_transfer"]
COMMANDS = ("train", "predict", "evaluate", "explain", "export", "report", "vectors", "cache")


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    # Users have a buffer, which is flushed once more when the process ends.
    usual = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.Popen([*MODULE, *map(str, arguments)], **{"env": usual, **pipes})


def test_help_names_all_commands_without_importing_them():
    help = CliRunner().invoke(program, ["--help"]).stdout
    for name in COMMANDS:
        assert f"  {name}" in help
    assert "Exit codes: 0 success, 1 an error of the data or the model" in help


@pytest.mark.parametrize("name", ["train", "predict", "evaluate"])
def test_helps_have_examples(name):
    help = CliRunner().invoke(program, [name, "--help"]).stdout
    assert f"\nExamples:\n  sklearn-transfer {name} " in help


def test_usage_errors_name_the_help():
    result = CliRunner().invoke(program, ["tarin"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith("See: sklearn-transfer --help\n")
    assert CliRunner().invoke(program, []).exit_code == 2


def test_the_version_is_shown():
    assert CliRunner().invoke(program, ["--version"]).stdout.startswith("sklearn-transfer 0.")


def test_the_traceback_is_shown_on_request(run, saved_model):
    options = ("predict", saved_model, "none.csv")
    assert "Traceback" not in run(*options, code=1).stderr
    result = CliRunner().invoke(program, [str(option) for option in (*options, "--traceback")])
    assert result.stderr.startswith("Traceback (most recent call last)")
    assert result.stderr.splitlines()[-1].startswith("Error: No file at 'none.csv'")


def test_prediction_by_a_process_imports_no_torch(saved_model, folder):
    code = (
        "import sys\nfrom sklearn_transfer.cli.entry import main\n"
        f"sys.argv = ['x', 'predict', {str(saved_model)!r}, 'new.csv', '--json']\n"
        "try:\n    main()\nexcept SystemExit as exit:\n    assert not exit.code\n"
        "print(sorted({'torch', 'skorch', 'gensim'} & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert [json.loads(line)["label"] for line in shown[:-1]][::2] == ["pos", "neg"]
    assert shown[-1] == "[]"


def test_without_the_extra_one_line_says_how_to_install_it():
    code = (
        "import sys\nsys.modules['click'] = None\n"
        "from sklearn_transfer.cli.entry import main\nmain()"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.startswith("Error: The command sklearn-transfer needs the package 'click'")
    assert found.stderr.endswith('pip install -e ".[cli]".\n')


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_closed_pipe_ends_quietly(saved_model, folder):
    Path("many.csv").write_text("text\n" + "great\n" * 20_000)
    process = start("predict", saved_model, "many.csv", "--proba")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) == 141


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_an_interrupt_leaves_nothing(saved_model, folder):
    os.mkfifo("endless.csv")
    process = start("predict", saved_model, "endless.csv", "--output", "out.csv")
    with Path("endless.csv").open("w"):  # waits until the command reads
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout, stderr) == (130, "", "Error: interrupted.\n")
    assert not [path for path in folder.iterdir() if "out.csv" in path.name]


INTERRUPTED_IMPORT = """
import sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
from sklearn_transfer.cli.entry import main
sys.argv[1:] = ["predict", "model.zip", "new.csv"]
main()
"""


@pytest.mark.parametrize("module", ["click", "numpy", "sklearn"])
def test_an_interrupt_during_an_import_is_one_line(module):
    code = INTERRUPTED_IMPORT.format(module=module)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Error: interrupted.\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_is_one_line(saved_model, folder):
    with Path("/dev/full").open("w") as full:
        process = start("predict", saved_model, "new.csv", stdout=full)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert stderr.splitlines()[-1].startswith("Error: ")
    assert "No space left on device" in stderr.splitlines()[-1]
    assert len(stderr.splitlines()) == 2  # and a note on the empty text
