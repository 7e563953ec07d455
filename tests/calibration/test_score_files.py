"""Score files: what is read, and what is said about what cannot be."""

import pytest

from calibration.score_files.files import read_score_file, read_score_files
from calibration.scoring.score import score_files
from simulator.errors import PlanError

PLAN = """
[plan.model]
family = "mlp"
widths = [784, 512, 10]

[plan.batch]
global = 64
micro = 64

[plan.cluster]
device = "a100-sxm4-80gb"
"""
ROW = """
[[row]]
id = "a"
measured = { step_time_s = 1.5 }
"""
TABLE = 'table = "rows.csv"\n' + PLAN
COLUMNS = """
[columns]
batch = "batch.global"
micro = "batch.micro"
time_ms = { to = "measured.step_time_s", scale = 0.001 }
"""
CSV = "batch,micro,time_ms,unused\n64,64,2,x\n128,64,4,x\n256,64,8,x\n"


@pytest.fixture
def write(tmp_path):
    """Write a score file and its table; return its path."""

    def writer(text, table=None, name="rows.csv"):
        path = tmp_path / "score.toml"
        path.write_text(text, encoding="utf-8")
        if table is not None:
            content = table if isinstance(table, bytes) else table.encode()
            (tmp_path / name).write_bytes(content)
        return path

    return writer


def faults_of(path, reader=read_score_file):
    with pytest.raises(PlanError) as error:
        reader(path)
    return str(error.value)


# -- what is read ----------------------------------------------------------------------


def test_rows(write):
    file = read_score_file(
        write(
            PLAN
            + """
[meta]
title = "Two rows"
quantity = "samples_per_s"

[[row]]
id = "a"
set = { "batch.micro" = 32, batch.global = 128 }
measured = { step_time_s = "1.5 ms", samples_per_s = 10 }
fit = true
note = "a remark"

[[row]]
measured = { speedup = 2.0, relative_to = "a" }
"""
        )
    )
    assert (file.title, file.quantity) == ("Two rows", "samples_per_s")
    first, second = file.rows
    assert first.overrides == {"batch.micro": 32, "batch.global": 128}
    assert first.measured == {"step_time_s": 0.0015, "samples_per_s": 10.0}
    assert first.is_fit
    assert (second.id, second.relative_to, second.is_fit) == ("row 2", "a", False)
    assert second.place.endswith("score.toml:24:1")


def test_a_table_beside_the_file(write):
    file = read_score_file(write("fit_every = 2\n" + TABLE + COLUMNS, CSV))
    assert [row.id for row in file.rows] == ["line 2", "line 3", "line 4"]
    assert [row.is_fit for row in file.rows] == [True, False, True]
    assert [row.measured["step_time_s"] for row in file.rows] == [0.002, 0.004, 0.008]
    assert file.rows[1].overrides == {"batch.global": 128, "batch.micro": 64}
    assert file.rows[1].place.endswith("rows.csv:3:1")


def test_fit_rows_count_from_zero(write):
    file = read_score_file(write("fit_rows = [1]\n" + TABLE + COLUMNS, CSV))
    assert [row.is_fit for row in file.rows] == [False, True, False]


def test_a_derived_key_and_an_id(write):
    text = TABLE + (
        '[columns]\nname = "id"\ntime = "measured.step_time_s"\n'
        '[derived]\n"cluster.nodes" = { from = "gpus", divide_by = 8 }\n'
        '"batch.global" = { from = "gpus", multiply_by = 4 }\n'
    )
    file = read_score_file(write(text, "name,gpus,time\nbig,64,2 s\nodd,12,2\n"))
    big, odd = file.rows
    assert (big.id, big.overrides) == ("big", {"cluster.nodes": 8, "batch.global": 256})
    assert odd.overrides["cluster.nodes"] == 1.5


def test_an_empty_cell_leaves_the_base_value(write):
    table = CSV.replace("128,64,4", "128,,4")
    file = read_score_file(write(TABLE + COLUMNS, table))
    assert file.rows[1].overrides == {"batch.global": 128}


def test_a_row_may_lack_all_but_the_main_quantity(write):
    meta = '[meta]\nquantity = "step_time_s"\n'
    columns = COLUMNS + 'unused = "measured.memory_peak_bytes"\n'
    table = CSV.replace("2,x", "2,3 GB").replace(",x", ",")
    first, *others = read_score_file(write(TABLE + meta + columns, table)).rows
    assert first.measured == {"step_time_s": 0.002, "memory_peak_bytes": 3e9}
    assert all(row.measured.keys() == {"step_time_s"} for row in others)


def test_a_table_from_a_spreadsheet(write):
    table = ("\ufeff" + CSV.replace("\n", "\r\n")).encode()
    assert len(read_score_file(write(TABLE + COLUMNS, table)).rows) == 3


def test_baselines(write):
    text = PLAN + (
        '[baselines]\nplain = 0.25\n"in percent" = "14.7 %"\n'
        '[baselines.long]\nmape = 0.5\nrows = 9\nsource = "table 1"\n' + ROW
    )
    plain, percent, long = read_score_file(write(text)).baselines
    assert (plain.mape, percent.mape) == (0.25, pytest.approx(0.147))
    assert (long.mape, long.rows, long.source) == (0.5, 9, "table 1")


def test_folders_and_patterns(write):
    path = write(PLAN + ROW)
    assert len(read_score_files([path.parent])) == 1
    assert len(read_score_files([path.parent / "sc*.toml"])) == 1


# -- what is said ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("colums = 3\n" + PLAN + ROW, 1, "colums: unknown key 'colums'; did you mean"),
        (PLAN, 1, "there are no rows; add [[row]], or table = FILE"),
        (ROW, 1, "plan: the table is missing"),
        (PLAN + ROW + "fitt = true\n", 16, "row.fitt: unknown key 'fitt'"),
        (PLAN + "[[row]]\nid = 'a'\n", 13, "row.measured: is missing"),
        (PLAN + ROW + "fit = 'yes'\n", 16, "row.fit: takes true or false"),
        (
            PLAN + ROW + 'set = { "batch.macro" = 3 }\n',
            16,
            "row.set.batch.macro: 'batch.macro' is no key of a plan; did you mean",
        ),
        (
            PLAN + "[[row]]\nmeasured = { steptime = 1 }\n",
            13,
            "row.measured.steptime: 'steptime' is nothing that is predicted",
        ),
        (
            PLAN + '[[row]]\nmeasured = { step_time_s = "3 furlongs" }\n',
            13,
            "'3 furlongs' has the unknown unit 'furlongs'",
        ),
        (
            PLAN + '[[row]]\nmeasured = { step_time_s = "3 GB" }\n',
            13,
            "'3 GB' is an amount of data, this takes a time",
        ),
        (PLAN + "[[row]]\nmeasured = { step_time_s = 0 }\n", 13, "must be above zero"),
        (PLAN + "[[row]]\nmeasured = { speedup = 2 }\n", 12, "relative_to"),
        (PLAN + ROW + ROW, 17, "id: 'a' is given to two rows"),
        (PLAN + "[baselines]\nx = 14.73\n" + ROW, 13, "write 0.1473, or '14.73 %'"),
        (
            PLAN + '[baselines.x]\ncompute = "constant-mfu"\n' + ROW,
            12,
            "needs rows that it may be fitted on",
        ),
        ("fit_every = 3\n" + PLAN + ROW, 1, "is about a table, and there is none"),
        ("[plan\n", 1, "syntax"),
    ],
)
def test_faults_have_a_place(write, text, line, message):
    path = write(text)
    said = faults_of(path)
    assert message in said
    assert f"{path}:{line}:" in said


@pytest.mark.parametrize(
    ("text", "table", "message"),
    [
        (TABLE + COLUMNS, None, "rows.csv:1:1: table: cannot be read"),
        (TABLE + COLUMNS, "", "rows.csv:1:1: table: is empty"),
        (TABLE + COLUMNS, b"\xff\xfe", "rows.csv:1:1: table: is not UTF-8"),
        (TABLE + COLUMNS, "a,a\n1,2\n", "rows.csv:1:1: table: the column 'a' is there"),
        (TABLE + COLUMNS, 'batch,micro,time_ms\n1,"2,3\n', "is no CSV"),
        (
            TABLE + COLUMNS,
            CSV + "1,2\n",
            "rows.csv:5:1: table: has 2 cells, the heading has 4",
        ),
        (
            TABLE + COLUMNS.replace("time_ms", "time"),
            CSV,
            "score.toml:17:1: columns.time: rows.csv has no column 'time'; did you",
        ),
        (
            TABLE + COLUMNS.replace("batch.global", "batch.globe"),
            CSV,
            "score.toml:15:1: columns.batch: 'batch.globe' is no key of a plan",
        ),
        (
            TABLE + COLUMNS.replace("scale", "factor"),
            CSV,
            "columns.time_ms.factor: unknown key 'factor'",
        ),
        (TABLE + '[columns]\nbatch = "batch.global"\n', CSV, "no column is measured"),
        (
            TABLE + COLUMNS,
            CSV.replace("128,64,4", "128,64,fast"),
            "rows.csv:3:1: time_ms: 'fast' does not begin with a number",
        ),
        (
            TABLE + COLUMNS,
            CSV.replace("128,64,4", "128,64,"),
            "rows.csv:3:1: time_ms: is empty",
        ),
        ("fit_rows = [7]\n" + TABLE + COLUMNS, CSV, "there is no row 7"),
        ("fit_every = 0\n" + TABLE + COLUMNS, CSV, "takes a whole number above zero"),
        (
            TABLE + COLUMNS + '[derived]\n"cluster.nodes" = { from = "gpu" }\n',
            CSV,
            "takes a column and one factor",
        ),
    ],
)
def test_faults_of_tables(write, text, table, message):
    assert message in faults_of(write(text, table))


def test_a_plan_is_no_score_file(write):
    assert "is a plan, not a score file" in faults_of(write(PLAN.replace("plan.", "")))


def test_no_file_and_an_empty_one(write, tmp_path):
    assert "does not exist" in faults_of(tmp_path / "none.toml")
    assert "a score file needs [plan] and rows" in faults_of(write(" "))


def test_faults_of_all_files_at_once(write, tmp_path):
    write(PLAN)
    (tmp_path / "other.toml").write_text("[plan\n", encoding="utf-8")
    said = faults_of([tmp_path], score_files)
    assert f"{tmp_path / 'other.toml'}:1:" in said
    assert f"{tmp_path / 'score.toml'}:1:" in said


def test_a_fault_of_the_shared_plan_stands_in_the_file(write):
    path = write(PLAN.replace("a100-sxm4-80gb", "a1000") + ROW)
    said = faults_of([path], score_files)
    assert f"{path}:11:1: plan.cluster.device: unknown device 'a1000'" in said
