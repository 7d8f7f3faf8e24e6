"""The scripts of docs/batches.md and completion, in real shells."""

import io
import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys

import pytest
from helpers import blocks
from waiting import GUARD_SECONDS, wait_for

from gmmquant.cli.app import run

SHELLS = ["bash", "zsh", "fish"]


def needs(*programs):
    return pytest.mark.skipif(not all(map(shutil.which, programs)), reason=f"{', '.join(programs)} not installed")


@pytest.fixture(scope="module")
def section(project):
    """The sections of the page on scripts and completion."""
    return (project / "docs/batches.md").read_text(encoding="utf-8").partition("## In scripts\n")[2]


@pytest.fixture
def user(tmp_path, samples):
    """A folder with the sample images."""
    shutil.copytree(samples, tmp_path / "sample_images")
    return tmp_path


def snippets(section):
    """Return the scripts of the section, separated by empty lines, without those that set up completion."""
    return [part.strip() for block in blocks(section, "bash") for part in block.split("\n\n") if "eval" not in part]


def run_in(shell, script, folder, environment, **options):
    arguments = {"bash": ["bash", "--norc"], "zsh": ["zsh", "-f"], "fish": ["fish", "--no-config"], "sh": ["sh"]}[shell]
    environment = {**environment, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config")}
    return subprocess.run(
        [*arguments, "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=GUARD_SECONDS,
        **options,
    )


# --- scripts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["--null", "@list", "**", "for image", "xargs", "parallel", "--json-lines"])
def test_each_script_of_the_page_processes_its_images(section, user, clean_environment, word):
    (script,) = (script for script in snippets(section) if word in script)
    if word == "parallel" and not shutil.which("parallel"):
        pytest.skip("parallel not installed")
    result = run_in("sh", script, user, clean_environment)
    assert result.returncode == 0, result.stderr
    output = user / re.search(r"-o (\S+)", script)[1]
    images = [path for path in (user / "sample_images").iterdir() if path.suffix == ".jpg" or word == "--json-lines"]
    stems = {path.stem for path in images if path.suffix in (".jpg", ".png", ".webp")}
    assert {path.name for path in output.iterdir()} == {
        f"{stem}_{end}" for stem in stems for end in ("k7.png", "report.json")
    }
    if word == "--json-lines":
        rows = [line.split() for line in result.stdout.splitlines()]
        errors = {source: float(error) for error, source in rows}
        assert len(errors) == len(stems) == 9
        report = json.loads((output / "cat_report.json").read_text())
        assert errors["sample_images/cat.jpg"] == report["fits"][0]["mse"]
        assert list(errors.values()) == sorted(errors.values())


def test_every_script_of_the_page_is_run_by_a_test(section):
    words = ["--null", "@list", "**", "for image", "xargs", "parallel", "--json-lines"]
    assert [sum(word in script for word in words) for script in snippets(section)] == [1] * len(words)


@pytest.mark.parametrize("shell", ["sh", *SHELLS])
def test_a_script_can_branch_on_the_exit_code(user, clean_environment, shell):
    if not shutil.which(shell):
        pytest.skip(f"{shell} not installed")
    (user / "broken.jpg").touch()
    for name, expected in (("sample_images/flat.png", "done"), ("broken.jpg", "not done")):
        script = f"gmmquant {name} -k 2 -q -o out && echo done || echo not done"
        assert run_in(shell, script, user, clean_environment).stdout == f"{expected}\n"


@needs("make")
def test_the_make_rule_of_the_page_runs_only_for_a_changed_image(section, user, clean_environment):
    (rule,) = blocks(section, "make")
    (user / "Makefile").write_text(rule)
    (target,) = re.findall(r"`make (\S+)`", section)

    def make():
        return subprocess.run(["make", target], cwd=user, env=clean_environment, capture_output=True, text=True)

    first = make()
    assert (first.returncode, first.stderr) == (0, "")
    made = (user / target).stat()
    assert "up to date" in make().stdout
    assert (user / target).stat().st_mtime_ns == made.st_mtime_ns
    image = user / "sample_images/cat.jpg"
    os.utime(image, ns=(made.st_mtime_ns + 10**9, made.st_mtime_ns + 10**9))
    assert make().returncode == 0
    assert (user / target).stat().st_ino != made.st_ino


# --- completion -------------------------------------------------------------------------------------------------------

COMPLETIONS = {
    "--scheduler l": ["local"],
    "--me": ["--method"],
    "--skip": ["--skip-existing", "--skip-if-larger"],
    "--method ": ["gmm", "kmeans"],
    "-k 2 3 --method k": ["kmeans"],
    "--space o": ["oklab"],
    "--covariance ": ["diag", "full", "spherical", "tied"],
    "--init r": ["random", "random_from_data"],
    "--recolor n": ["nearest"],
    "--dither ": ["bayer", "blue-noise", "floyd-steinberg", "none", "posterior"],
    "--format w": ["webp"],
    "--palette-out g": ["gpl"],
    "--palette ga": ["gainsboro", "gameboy"],
    "--palette-order l": ["luminance"],
    "--keep-colors rebecca": ["rebeccapurple"],
    "--color-depth rgb5": ["rgb555", "rgb565"],
    "--palette-out gpl,": ["gpl,aco", "gpl,all", "gpl,ase", "gpl,css", "gpl,hex", "gpl,json", "gpl,pal", "gpl,png"],
    "--maps labels,e": ["labels,entropy"],
    "--report n": ["none"],
    "--report html,j": ["html,json"],
}


def completed(shell, lines, folder, environment):
    """Return the completions that a shell offers after `gmmquant` and each of these lines of words."""
    if shell == "fish":
        set_up = "_GMMQUANT_COMPLETE=source_fish gmmquant | source"
        scripts = [f'complete -C "gmmquant {words}"' for words in lines]
    else:
        set_up = 'eval "$(_GMMQUANT_COMPLETE=source_bash gmmquant)"'
        scripts = [
            f'COMP_WORDS=(gmmquant {words}""); COMP_CWORD={len(words.split(" "))}; COMPREPLY=(); '
            '_gmmquant_completion gmmquant; printf "%s\\n" "${COMPREPLY[@]}"'
            for words in lines
        ]
    script = "; ".join([set_up, *(f"{script}; echo =====" for script in scripts)])
    result = run_in(shell, script, folder, environment)
    assert result.stderr == ""
    *answers, rest = result.stdout.split("=====\n")
    assert rest == ""
    return {
        words: sorted(line.split("\t")[0] for line in answer.splitlines() if line.startswith(words.split(" ")[-1]))
        for words, answer in zip(lines, answers, strict=True)
    }


@needs("bash")
def test_bash_completes_options_and_their_values(tmp_path, clean_environment):
    assert completed("bash", COMPLETIONS, tmp_path, clean_environment) == COMPLETIONS


@needs("fish")
def test_fish_completes_options_and_their_values(tmp_path, clean_environment):
    some = {words: COMPLETIONS[words] for words in ("--scheduler l", "--me", "--skip", "--maps labels,e")}
    assert completed("fish", some, tmp_path, clean_environment) == some


@needs("fish")
def test_fish_completes_the_names_of_files(user, clean_environment):
    words, offered = "sample_images/fl", ["sample_images/flat.png"]
    assert completed("fish", [words], user, clean_environment) == {words: offered}


class Terminal:
    """A shell on a terminal."""

    def __init__(self, arguments, folder, environment):
        self._main, side = pty.openpty()
        environment = {**environment, "HOME": str(folder), "ZDOTDIR": str(folder), "PS1": "> "}
        self._shell = subprocess.Popen(
            arguments, cwd=folder, env=environment, stdin=side, stdout=side, stderr=side, start_new_session=True
        )
        os.close(side)

    def type(self, text, until):
        """Type `text`, and wait until the terminal shows `until`."""
        os.write(self._main, text.encode())
        shown = ""

        def is_shown():
            nonlocal shown
            if select.select([self._main], [], [], 0)[0]:
                shown += os.read(self._main, 65536).decode()
            return until in re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", shown)

        wait_for(is_shown)

    def close(self):
        self._shell.kill()
        self._shell.wait()
        os.close(self._main)


@pytest.mark.parametrize("shell", [pytest.param("bash", marks=needs("bash")), pytest.param("zsh", marks=needs("zsh"))])
def test_the_tab_key_completes_options_values_and_files(section, user, clean_environment, shell):
    (line,) = (block.strip() for block in blocks(section, shell) if "eval" in block)
    line = line.partition("   #")[0]
    arguments = {"bash": ["bash", "--norc", "-i"], "zsh": ["zsh", "-f", "-i"]}[shell]
    terminal = Terminal(arguments, user, clean_environment)
    try:
        if shell == "zsh":
            terminal.type("autoload -Uz compinit; compinit -u -D; echo set up by ${SHELL:-it}$((20 + 22))\n", "42")
        terminal.type(f"{line}; echo ready $((20 + 23))\n", "ready 43")
        terminal.type("gmmquant --meth\t", "--method ")
        terminal.type("km\t", "kmeans ")
        terminal.type("sample_images/fla\t", "flat.png ")
    finally:
        terminal.close()


@needs("fish")
def test_the_fish_line_of_the_page_is_the_tested_one(section):
    (line,) = blocks(section, "fish")
    assert line.startswith("_GMMQUANT_COMPLETE=source_fish gmmquant | source ")


@pytest.mark.parametrize("shell", [pytest.param(shell, marks=needs(shell)) for shell in SHELLS])
def test_completion_is_shown_and_installed_for_the_current_shell(tmp_path, clean_environment, shell):
    shown = run_in(shell, "gmmquant --show-completion; true", tmp_path, clean_environment)
    assert f"_GMMQUANT_COMPLETE=complete_{shell}" in shown.stdout
    assert shown.stderr == ""
    result = run_in(shell, "gmmquant --install-completion; true", tmp_path, clean_environment)
    assert "installed in" in result.stdout
    installed = [path for path in tmp_path.rglob("*") if path.is_file() and "complete_" in path.read_text()]
    assert len(installed) == 1


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("sign", [" ", "="])
def test_completion_is_shown_and_installed_for_the_shell_that_is_named(tmp_path, clean_environment, shell, sign):
    shown = run_in("bash", f"gmmquant --show-completion{sign}{shell}; true", tmp_path, clean_environment)
    assert f"_GMMQUANT_COMPLETE=complete_{shell}" in shown.stdout
    result = run_in("bash", f"gmmquant --install-completion{sign}{shell}; true", tmp_path, clean_environment)
    assert result.stdout.startswith(f"{shell} completion installed in ")


@pytest.mark.parametrize("words", ["--method ", "--me", ""])
def test_completion_imports_nothing_heavy(clean_environment, tmp_path, words):
    code = (
        "import sys\nfrom gmmquant.cli.app import run\nrun([])\n"
        "print(sorted({'numpy', 'cv2', 'scipy', 'PIL', 'matplotlib'} & set(sys.modules)), file=sys.stderr)"
    )
    environment = {
        **clean_environment,
        "_GMMQUANT_COMPLETE": "complete_bash",
        "COMP_WORDS": f"gmmquant {words}",
        "COMP_CWORD": str(len(words.split(" "))),
    }
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "[]\n")


@pytest.mark.parametrize("piped", [False, True])
def test_a_missing_image_is_looked_for_in_a_pipe(command, samples, piped):
    with (samples / "grey.png").open("rb") as file:
        result = command("-k", "2", stdin=file) if piped else command("-k", "2")
    assert result.returncode == 2
    assert ("use - for standard input" in result.stderr) == piped


@pytest.mark.parametrize("is_closed", [False, True])
def test_a_stream_without_a_file_is_not_taken_for_a_pipe(monkeypatch, capsys, is_closed):
    with open(os.devnull) as closed:
        pass
    monkeypatch.setattr(sys, "stdin", closed if is_closed else io.StringIO())
    assert run(["-k", "2"]) == 2
    assert capsys.readouterr().err == "gmmquant: missing argument 'IMAGE'; see gmmquant -h\n"
