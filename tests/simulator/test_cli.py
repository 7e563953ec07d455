"""The command line: verbs, exit codes, what goes to stdout and what to stderr."""

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from simulator import Plan, cli
from simulator.errors import MissingOptional

ROOT = Path(__file__).parents[2]
GPT = str(ROOT / "plans" / "gpt-175b-512gpu.toml")
MLP = str(ROOT / "plans" / "mlp-1gpu-small.toml")


def process(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "simulator", *arguments],
        text=True,
        check=False,
        cwd=ROOT,
        **options,
    )


# -- words -----------------------------------------------------------------------------


def test_help_shows_both_ways_to_call(simulate):
    code, out, _ = simulate("--help")
    assert code == 0
    assert "simulate PLAN.toml [OPTIONS]" in out
    for verb in ("predict", "check", "schema", "scale", "score", "list"):
        assert verb in out


def test_version(simulate):
    assert simulate("--version") == (0, "simulate 0.1.0\n", "")


@pytest.mark.parametrize(
    ("word", "answer"),
    [
        ("swep", "'swep' is neither a plan file nor a command; did you mean 'scale'?"),
        ("chek", "'chek' is neither a plan file nor a command; did you mean 'check'?"),
        ("qqq", "'qqq' is neither a plan file nor a command"),
        (
            "search",
            "'search' is not built yet; built are: calibrate, check, list, predict",
        ),
    ],
)
def test_a_word_that_is_no_command(simulate, word, answer):
    code, out, err = simulate(word)
    assert (code, out) == (2, "")
    assert answer in err


def test_an_option_that_is_none(simulate):
    code, out, err = simulate(GPT, "--jsn")
    assert (code, out) == (2, "")
    assert "'--json'" in err


def test_what_is_not_built_is_said_and_not_ignored(simulate):
    code, out, err = simulate(GPT, "--replicas", "2")
    assert (code, out) == (2, "")
    assert "--replicas is not built yet" in err


def test_a_choice_that_is_none(simulate):
    code, _, err = simulate(GPT, "--engine", "evnt")
    assert code == 2
    assert "'analytical', 'event'" in err


# -- plans with faults -----------------------------------------------------------------


@pytest.mark.parametrize("verb", [(), ("predict",), ("check",), ("scale",)])
def test_faults_go_to_stderr_with_exit_code_2_and_no_traceback(simulate, verb):
    over = ("--over", "cluster.nodes=1,2") if verb == ("scale",) else ()
    code, out, err = simulate(*verb, GPT, "--set", "batch.micro=0", *over)
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "--set batch.micro=0: must be at least 1, got 0",
        f"1 problem in {GPT}",
    ]


def test_options_may_come_first(simulate):
    code, _, err = simulate("--json", GPT, "--set", "batch.micro=0")
    assert code == 2
    assert "1 problem in" in err


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tests" / "malformed").glob("*.toml"))[::8]
)
def test_malformed_plans_end_with_exit_code_2_for_real(path):
    done = process(str(path), capture_output=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith(f"{path}:")


def test_check_answers_every_file(simulate):
    bad = str(ROOT / "tests" / "malformed" / "negative.toml")
    code, out, err = simulate("check", GPT, bad, "no-such-plan.toml")
    assert code == 2
    assert out == f"{GPT}: no faults; gpt3-175b on 512 x a100-sxm4-80gb\n"
    assert f"2 problems in {bad}" in err
    assert "1 problem in no-such-plan.toml" in err


def test_check_without_faults(simulate):
    plans = sorted(str(path) for path in (ROOT / "plans").glob("*.toml"))
    code, out, err = simulate("check", *plans)
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == len(plans)


@pytest.mark.parametrize(
    ("over", "answer"),
    [
        ("parallelism.tensr=1,2", "unknown key 'parallelism.tensr'; did you mean"),
        ("batch.micro", "has no values; write --over batch.micro=V1,V2"),
        ("batch.micro=1,,2", "has no values"),
    ],
)
def test_over_is_checked_before_anything_runs(simulate, over, answer):
    code, _, err = simulate("scale", GPT, "--over", over)
    assert code == 2
    assert f"--over {over}: {answer}" in err


# -- verbs that need no engine ---------------------------------------------------------


def test_schema_is_json(simulate):
    code, out, _ = simulate("schema")
    assert code == 0
    assert json.loads(out)["$schema"].endswith("2020-12/schema")


@pytest.mark.parametrize("kind", ["models", "devices", "links", "topologies"])
def test_list_as_text_and_as_json(simulate, kind):
    code, out, _ = simulate("list", kind)
    assert code == 0
    assert out.startswith("name")
    listed = json.loads(simulate("list", kind, "--json")[1])
    assert listed["kind"] == kind
    assert len(listed[kind]) == len(out.splitlines()) - 1


def test_schemes_say_what_is_built(simulate):
    _, out, _ = simulate("list", "schemes")
    assert "all-reduce" in out.splitlines()[1]
    assert out.splitlines()[1].endswith("built")
    assert "fsdp               built, as parallelism.zero = 3" in out.splitlines()


# -- exit codes ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "answer"),
    [
        (ZeroDivisionError("of ours"), 1, "internal error: ZeroDivisionError: of ours"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (
            MissingOptional("torch", "pip install x"),
            5,
            "install it with: pip install x",
        ),
    ],
)
def test_exit_code_of_an_error(simulate, monkeypatch, error, code, answer):
    def fail(*_):
        raise error

    monkeypatch.setattr(Plan, "load", fail)
    found, out, err = simulate(GPT)
    assert (found, out) == (code, "")
    assert answer in err
    assert "Traceback" not in err


class _Interrupted(ModuleType):
    """A module in whose import ctrl-C comes."""

    def __getattr__(self, name):
        raise KeyboardInterrupt


def test_an_interrupt_while_the_program_loads_is_no_traceback(capsys, monkeypatch):
    name = "simulator.cli.program"
    monkeypatch.setitem(sys.modules, name, _Interrupted(name))
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert (ended.value.code, capsys.readouterr().err) == (130, "interrupted\n")


def test_calibrate_refuses_a_place_that_is_not_there_before_it_measures(simulate):
    code, out, err = simulate("calibrate", "--out", "no-such-folder/machine.toml")
    assert (code, out) == (2, "")
    assert "there is no folder no-such-folder" in err


def test_debug_shows_the_traceback(simulate, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(Plan, "load", fail)
    code, _, err = simulate(GPT, "--debug")
    assert code == 1
    assert "Traceback" in err


def test_an_internal_error_asks_for_command_and_version(simulate, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(Plan, "load", fail)
    _, _, err = simulate("plan.toml", "--seed", "3")
    assert "simulate plan.toml --seed 3 (0.1.0)" in err


def test_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m simulator schema | head -c 10"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert (done.returncode, done.stderr) == (0, "")


# -- predictions -----------------------------------------------------------------------


def test_a_prediction_is_a_report_on_stdout(simulate):
    code, out, err = simulate(GPT)
    assert (code, err) == (0, "")
    assert "GPT-3 175B on 512 A100" in out


@pytest.mark.parametrize("engine", ["event", "analytical"])
def test_json_is_one_object_with_the_fields_of_the_contract(simulate, engine):
    code, out, _ = simulate(GPT, "--json", "--engine", engine)
    assert code == 0
    result = json.loads(out)
    for key in (
        *("status", "engine", "step_time_s", "samples_per_s", "tokens_per_s", "mfu"),
        *("world_size", "memory_peak_bytes", "memory", "breakdown", "ledger"),
        "provenance",
    ):
        assert key in result
    assert result["world_size"] == 512


def test_an_expectation_that_breaks_is_exit_code_4(simulate):
    code, out, err = simulate(MLP, "--set", "expect.step_time=< 1 ns")
    assert code == 4
    assert out
    assert "expect.step_time: wanted < 1.00 ns, predicted" in err


def test_out_of_memory_is_exit_code_3_with_a_report(simulate):
    code, out, err = simulate(GPT, "--set", "cluster.device=v100-sxm2-16gb")
    assert code == 3
    assert out
    assert "out of memory" in err


def test_explain_and_sources_are_added_to_the_report(simulate):
    plain = simulate(MLP)[1]
    code, out, _ = simulate(MLP, "--explain", "--sources")
    assert code == 0
    assert out.startswith(plain.rstrip("\n"))
    assert len(out) > len(plain)


def test_trace_and_plot_are_written_and_said_on_stderr(simulate, tmp_path):
    trace, plot = tmp_path / "trace.json", tmp_path / "plot.svg"
    code, _, err = simulate(MLP, "--trace", str(trace), "--plot", str(plot))
    assert code == 0
    assert err.splitlines() == [f"wrote {trace}", f"wrote {plot}"]
    assert trace.stat().st_size > 0
    assert plot.stat().st_size > 0


@pytest.mark.parametrize("verb", [(), ("scale", "--over", "batch.micro=32,64")])
def test_a_picture_that_nobody_draws_is_refused_before_the_work(simulate, verb):
    code, out, err = simulate(*verb[:1], MLP, *verb[1:], "--plot", "curve.gif")
    assert (code, out) == (2, "")
    assert "allowed: .svg, .png" in err


def test_a_file_that_cannot_be_written_is_exit_code_2(simulate, tmp_path):
    path = tmp_path / "no" / "trace.json"
    code, out, err = simulate(MLP, "--trace", str(path))
    assert (code, out) == (2, "")
    assert f"cannot write {path}: there is no folder {path.parent}" in err


def test_folding_never_changes_the_answer(simulate):
    folded = json.loads(simulate(MLP, "--json")[1])
    unfolded = json.loads(simulate(MLP, "--json", "--unfolded")[1])
    assert unfolded["step_time_s"] == pytest.approx(folded["step_time_s"], rel=1e-9)


def test_scale_prints_a_table_and_writes_csv(simulate, tmp_path):
    csv = tmp_path / "curve.csv"
    over = ("--over", "cluster.nodes=1,2,4")
    plan = str(ROOT / "plans" / "resnet50-16gpu-ethernet.toml")
    code, out, _ = simulate("scale", plan, *over, "--csv", str(csv))
    assert code == 0
    assert out
    assert len(csv.read_text(encoding="utf-8").splitlines()) == 4
    code, out, _ = simulate("scale", plan, *over, "--json")
    assert code == 0
    assert isinstance(json.loads(out), dict)
