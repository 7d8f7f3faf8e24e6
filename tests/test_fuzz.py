"""The fuzzer with some inputs, the same in every run, and its seeds: see fuzz.py."""

import re
import subprocess
import sys
from pathlib import Path

from waiting import GUARD_SECONDS

N_INPUTS = 2000


def test_no_input_changed_at_random_ends_in_anything_but_a_result_or_a_message(project, tmp_path):
    command = [sys.executable, project / "tests/fuzz.py", "--seed", "1", "--failures", tmp_path]
    command += ["--inputs", str(N_INPUTS), "--seconds", "inf"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    peak = re.fullmatch(rf"seed 1: {N_INPUTS:,} inputs, 0 failed, at most (\d+) MB\n", result.stdout)
    assert peak and int(peak[1]) < 1000
    assert list(tmp_path.iterdir()) == []


def test_inputs_of_every_format_are_made(project, tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path\n"
        "from fuzz import Fuzzer; from gmmquant.images.decoding.registry import INPUT_FORMATS, read_header\n"
        "from gmmquant.settings import PALETTE_FORMATS; import io\n"
        "fuzzer = Fuzzer(1, Path(sys.argv[2]))\n"
        "found = {read_header(io.BytesIO(data)).format for data in fuzzer.images.values()}\n"
        "assert found == set(INPUT_FORMATS), set(INPUT_FORMATS) - found\n"
        "assert fuzzer.palettes.keys() >= set(PALETTE_FORMATS)\n"
        "assert {fuzzer.input(number)[0] for number in range(50)} == {'image', 'palette', 'model', 'report'}\n"
        "assert fuzzer.input(7) == fuzzer.input(7) != fuzzer.input(8)\n"
    )
    subprocess.run([sys.executable, "-c", code, project / "tests", tmp_path], check=True)


def test_an_input_that_fails_is_saved_with_its_reason(project, tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; import fuzz, time\n"
        "def use(fuzzer, number):\n"
        "    if number == 2: raise ValueError('a fault')\n"
        "    if number == 4: fuzz.os.abort()\n"
        "    while number == 6: pass\n"
        "    if number == 7: fuzz.signal.alarm(1); time.sleep(60)\n"
        "fuzz.Fuzzer.use = use\n"
        "fuzz.MAX_SECONDS = 1\n"
        "assert fuzz.fuzz(600, 'so', Path(sys.argv[2]), 9) == (9, 4)\n"
    )
    subprocess.run([sys.executable, "-c", code, project / "tests", tmp_path], check=True, capture_output=True)
    reasons = {int(path.stem.rpartition("-")[2]): path.read_text() for path in tmp_path.glob("*.txt")}
    assert "ValueError: a fault" in reasons[2]
    assert reasons[4] == "the process ended with -6"
    assert reasons[6] == "more than 1 s of a processor"
    assert reasons[7] == f"more than {GUARD_SECONDS} s"
    assert all(Path(str(path).removesuffix(".txt")).exists() for path in tmp_path.glob("*.txt"))
