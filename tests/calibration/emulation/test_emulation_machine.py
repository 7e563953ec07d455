"""Machines that cannot emulate a network say what they lack."""

import pytest

from calibration.emulation import __main__ as demonstration
from calibration.emulation import machine
from calibration.emulation.errors import EmulationUnavailable
from calibration.emulation.machine import Abilities
from simulator.errors import RehearsalError


@pytest.fixture(autouse=True)
def _fresh():
    machine.abilities.cache_clear()
    yield
    machine.abilities.cache_clear()


@pytest.mark.parametrize(("name", "package"), machine.COMMANDS.items())
def test_a_missing_command_is_named_with_its_package(monkeypatch, name, package):
    which = machine.shutil.which
    monkeypatch.setattr(
        machine.shutil,
        "which",
        lambda asked, path: None if asked == name else which("true", path=path),
    )
    with pytest.raises(EmulationUnavailable, match=f"'{name}'; install {package}"):
        machine.require("fair")


# What the trial prints before it fails, and what the reason names.
@pytest.mark.parametrize(
    ("passed", "lacking"),
    [
        ("", "user and network namespaces"),
        ("namespaces", "module veth"),
        ("namespaces veth", "module sch_tbf"),
        ("namespaces veth tbf", "/proc/sys"),
    ],
)
def test_the_first_thing_that_fails_is_the_reason(
    monkeypatch, tmp_path, passed, lacking
):
    fake = tmp_path / "unshare"
    fake.write_text(f"#!/bin/sh\necho {passed}\necho not here >&2\n")
    fake.chmod(0o755)
    monkeypatch.setattr(machine, "command", lambda _: str(fake))
    found = machine.abilities()
    assert lacking in found.reason
    assert "not here" in found.reason


def test_fair_links_need_more_than_others(monkeypatch):
    monkeypatch.setattr(machine, "abilities", lambda: Abilities(""))
    monkeypatch.setattr(machine.abilities, "cache_clear", lambda: None, raising=False)
    machine.require("first-come")
    with pytest.raises(EmulationUnavailable, match="first-come"):
        machine.require("fair")


def test_it_is_something_optional_that_is_missing():
    error = EmulationUnavailable("its kernel has no links")
    assert isinstance(error, RehearsalError)
    assert error.exit_code == 5
    assert str(error) == "no emulated network on this machine: its kernel has no links"


def test_the_demonstration_ends_with_the_reason(monkeypatch, capsys):
    monkeypatch.setattr(machine, "abilities", lambda: Abilities("it has no kernel"))
    monkeypatch.setattr(machine.abilities, "cache_clear", lambda: None, raising=False)
    assert demonstration.main([]) == 5
    assert "it has no kernel" in capsys.readouterr().err
