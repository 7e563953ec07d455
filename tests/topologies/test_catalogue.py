"""The catalogue: every file loads, every number is sourced and plausible."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import topologies
from topologies.catalogue import (
    UnknownName,
    describe_devices,
    describe_links,
    device,
    device_names,
    link,
    link_names,
)
from topologies.units import parse_quantity

ROOT = Path(topologies.__file__).parent / "catalogue"
FILES = sorted(ROOT.rglob("*.toml"))
HOW = {"table", "text", "derived", "assumed", "memory"}
FIELDS = {
    "devices": {
        *("name", "title", "aliases", "memory", "memory_bandwidth", "num_units"),
        *("fabric", "host", "profile", "peak", "source", "source_of"),
    },
    "links": {
        *("name", "title", "aliases", "bandwidth", "latency", "efficiency"),
        "cables",
        "copy_rate",
        *("source", "source_of"),
    },
}


def read(path):
    return tomllib.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_number_has_a_source(path):
    entry = read(path)
    sources = [entry["source"], *entry.get("source_of", {}).values()]
    for source in sources:
        assert set(source) <= {"name", "locator", "how", "confidence"}
        assert source["name"]
        assert source["locator"]
        assert source["how"] in HOW
        # What was recalled and not looked up says how sure we are.
        assert source["how"] != "memory" or 0 < source["confidence"] <= 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_has_known_keys_and_its_own_name(path):
    entry = read(path)
    kind = path.parent.name
    assert set(entry) <= FIELDS[kind]
    assert entry["name"] == path.stem
    for field in entry.get("source_of", {}):
        section, _, key = field.partition(".")
        assert section in FIELDS[kind]
        assert not key or key in entry[section]


@pytest.mark.parametrize("name", device_names())
def test_device_is_plausible(name):
    record = device(name)
    assert record.name == name
    assert set(record.peak) <= {"fp32", "tf32", "fp16", "bf16", "fp8", "fixed16"}
    assert record.peak
    # From DianNao and the M2090 to the GB200; a wrong prefix falls outside.
    assert all(4e11 < rate < 1e16 for rate in record.peak.values())
    assert 2e9 < record.memory < 1e12
    assert 1e11 < record.memory_bandwidth < 1e13
    assert 0 <= record.num_units < 400
    # Seconds to read the whole memory: 3 to 100 ms in every generation.
    assert 3e-3 < record.memory / record.memory_bandwidth < 0.15
    assert record.source


@pytest.mark.parametrize("name", device_names())
def test_narrower_formats_are_not_slower(name):
    peak = device(name).peak
    rates = [peak[wide] for wide in ("fp32", "tf32", "fp16", "fp8") if wide in peak]
    assert rates == sorted(rates)
    assert peak.get("bf16", 0) in {0, peak.get("fp16", peak.get("bf16"))}


@pytest.mark.parametrize("name", link_names())
def test_link_is_plausible(name):
    record = link(name)
    assert record.name == name
    assert 1e8 < record.bandwidth < 1e12
    assert 5e-7 < record.latency < 1e-4
    assert 0 < record.efficiency <= 1
    assert record.source


@pytest.mark.parametrize("path", sorted((ROOT / "devices").glob("*.toml")), ids=str)
def test_links_of_a_device_exist(path):
    entry = read(path)
    assert {entry["fabric"], entry["host"]} <= set(link_names())


@pytest.mark.parametrize(
    ("name", "number_format", "rate"),
    [
        ("gtx-580", "fp32", 1.5811e12),
        ("gtx-680", "fp32", 3.09043e12),
        ("k20", "fp32", 3.524e12),
        ("k40", "fp32", 4.291e12),
        ("k80", "fp32", 4.368e12),
        ("p100-sxm2-16gb", "fp16", 21.22e12),
        ("v100-sxm2-16gb", "fp16", 125e12),
        ("a100-sxm4-80gb", "bf16", 312e12),
        ("h100-sxm5-80gb", "bf16", 989e12),
        ("b200-sxm-180gb", "bf16", 2250e12),
        ("tpu-v4", "bf16", 275e12),
    ],
)
def test_published_peaks(name, number_format, rate):
    assert device(name).peak[number_format] == rate


@pytest.mark.parametrize(
    ("name", "bandwidth"),
    [
        ("ethernet-10", 1.25e9),
        ("infiniband-fdr", 6.818125e9),
        ("infiniband-hdr", 25e9),
        ("pcie-3-x16", 15.75e9),
        ("nvlink-3", 300e9),
        ("nvlink-5", 900e9),
    ],
)
def test_published_rates_per_direction(name, bandwidth):
    assert link(name).bandwidth == bandwidth


def test_protocol_efficiency_is_its_derivation():
    # Each efficiency is written to four digits, PCIe's to three.
    assert link("ethernet-10").efficiency == pytest.approx(1448 / 1538, abs=5e-5)
    assert link("roce-100").efficiency == pytest.approx(4096 / 4178, abs=5e-5)
    assert link("pcie-3-x16").efficiency == pytest.approx(256 / 280, abs=5e-4)
    assert link("qpi").efficiency == pytest.approx(6 / 19.2, abs=5e-5)
    assert link("upi").efficiency == pytest.approx(10 / 20.8, abs=5e-5)


def test_catalogue_has_what_the_design_names():
    devices = "gtx-580 gtx-680 gtx-980 gtx-1080-ti k20 k20x k40 k80 m40 p40 p100 v100"
    devices += " titan-x-maxwell titan-x-pascal v100-32gb a100 a100-40gb a100-pcie h100"
    devices += " h100-pcie h200 h800 gh200 b200 gb200 mi250x mi300x l40s rtx-3090"
    devices += " rtx-4090 tpu-v2 tpu-v3 tpu-v4 tpu-v5e tpu-v5p"
    links = "qpi upi xgmi-mi300x"
    links += "".join(f" nvlink-{n}" for n in range(1, 6))
    links += "".join(f" pcie-{n}-x16" for n in range(2, 7))
    links += "".join(f" ethernet-{n}" for n in (1, 10, 25, 40, 50, 100, 200, 400, 800))
    links += "".join(f" infiniband-{n}dr" for n in "sdqfehnx")
    assert all(device(name) for name in devices.split())
    assert all(link(name) for name in links.split())


def test_a_die_is_half_of_its_board():
    board, die = device("mi250x"), device("mi250x-gcd")
    assert die.peak == {kind: rate / 2 for kind, rate in board.peak.items()}
    assert die.memory == board.memory / 2
    assert die.memory_bandwidth == board.memory_bandwidth / 2
    assert die.num_units * 2 == board.num_units


def test_alias_stands_for_the_same_record():
    assert device("a100") == device("a100-sxm4-80gb")
    assert link("pcie-3") == link("pcie-3-x16")


@pytest.mark.parametrize("kind", ["devices", "links"])
def test_aliases_are_unambiguous(kind):
    entries = [read(path) for path in (ROOT / kind).glob("*.toml")]
    names = [entry["name"] for entry in entries]
    aliases = [alias for entry in entries for alias in entry["aliases"]]
    assert len({*names, *aliases}) == len(names) + len(aliases)


def test_unknown_device_offers_the_nearest():
    with pytest.raises(UnknownName) as error:
        device("a100-sxm4-81gb")
    assert str(error.value).startswith(
        "unknown device 'a100-sxm4-81gb'; did you mean 'a100-sxm4-80gb' or "
    )
    assert str(error.value).endswith("'simulate list devices' lists them all")


def test_unknown_link_without_a_near_name():
    with pytest.raises(UnknownName) as error:
        link("tachyons")
    assert str(error.value) == (
        "unknown link 'tachyons'; 'simulate list links' lists them all"
    )


@pytest.mark.parametrize("name", ["", ".", "../links/qpi", "/etc/passwd"])
def test_a_name_is_no_path(name):
    with pytest.raises(UnknownName):
        device(name)


def test_rows_for_the_listing():
    devices, links = describe_devices(), describe_links()
    assert [row["name"] for row in devices] == list(device_names())
    assert [row["name"] for row in links] == list(link_names())
    row = next(row for row in devices if row["name"] == "k20")
    assert row["peak"] == "fp32 3.52 TFLOP/s"
    assert row["memory bandwidth"] == "208 GB/s"
    row = next(row for row in links if row["name"] == "infiniband-hdr")
    assert parse_quantity(row["bandwidth"], "B/s") == 25e9


def test_names_are_listed_by_rate():
    ethernets = [name for name in link_names() if name.startswith("ethernet-")]
    rates = [link(name).bandwidth for name in ethernets]
    assert rates == sorted(rates)


def test_one_device_parses_one_file_and_imports_nothing_heavy():
    script = (
        "import sys, tomllib\n"
        "parsed, loads = [], tomllib.loads\n"
        "tomllib.loads = lambda text: parsed.append(text) or loads(text)\n"
        "from topologies.catalogue import device\n"
        "device('a100-sxm4-80gb')\n"
        "assert len(parsed) == 1, len(parsed)\n"
        "heavy = {'numpy', 'pydantic', 'networkx', 'simpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT.parent.parent)
