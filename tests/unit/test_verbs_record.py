"""The record of a testbed, and testbed files that are read by way of it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

import vct
from vct.drivers import process
from vct.errors import InputError, UsageError, VctError
from vct.model.load import parse_testbed
from vct.paths import Home
from vct.plan.wanted import Numbers
from vct.verbs.record import (
    Applied,
    claim_directory,
    load_applied,
    read_testbed,
    require_applied,
    same_record,
    save_applied,
)

RING = """\
name: ring
nodes: {"0001": {position: [41.4, 2.1]}, "0002": {memory: 64MiB}, "0003": {}}
links:
  - {between: ["0001", "0002"], delay: 10ms, forward: {rate: 1mbit}}
segments:
  - {name: roof, members: ["0002", "0003"]}
"""
# No file says this: who sees it has read the record.
FROM_RECORD = "from-record"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    root = tmp_path / "home"
    home = Home(root=root, images=root / "images", run=root / "run")
    home.testbeds.mkdir(parents=True)
    return home


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "testbed.yaml"
    file.write_text(RING)
    return file


def record(home: Home, text: str = RING, name: str | None = None) -> Applied:
    """Record a testbed as applied, with a node's image that tells where it was read from."""
    testbed = parse_testbed(text, "a file", name)
    first, *others = testbed.nodes
    told = replace(testbed, nodes=(replace(first, image=FROM_RECORD), *others))
    applied = Applied(testbed=told, numbers=Numbers(uplink=3, interfaces={"0001": {"link x": 1}}))
    claim_directory(home.testbed(testbed.name))
    save_applied(home.testbed(testbed.name), applied)
    return applied


def from_record(home: Home, file: Path, name: str | None = None) -> bool:
    return read_testbed(home, file, name).nodes[0].image == FROM_RECORD


def test_it_works(home: Home, file: Path) -> None:
    applied = record(home)
    assert load_applied(home.testbed("ring")) == applied
    assert read_testbed(home, file) == applied.testbed


def test_a_testbed_that_was_never_applied_has_no_record(home: Home) -> None:
    assert load_applied(home.testbed("ring")) is None
    with pytest.raises(VctError, match="never applied"):
        require_applied(home.testbed("ring"))


def test_a_record_is_forgotten(home: Home) -> None:
    record(home)
    save_applied(home.testbed("ring"), None)
    assert load_applied(home.testbed("ring")) is None


def test_a_file_that_was_not_applied_is_read_itself(home: Home, file: Path) -> None:
    assert read_testbed(home, file) == parse_testbed(RING, str(file))


def test_messages_name_the_file_that_was_read_now(home: Home, file: Path) -> None:
    record(home)
    assert read_testbed(home, file).source == str(file)


def test_an_edited_file_is_read_itself(home: Home, file: Path) -> None:
    record(home)
    file.write_text(RING + "# a remark\n")
    assert not from_record(home, file)


def test_the_same_text_under_another_name_is_another_testbed(home: Home, file: Path) -> None:
    record(home)
    assert read_testbed(home, file, "twin").name == "twin"
    record(home, name="twin")
    assert from_record(home, file, "twin")
    assert read_testbed(home, file).name == "ring"


def test_another_version_of_vct_reads_the_file_itself(
    home: Home, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(home)
    monkeypatch.setattr(vct, "__version__", "999")
    assert not from_record(home, file)


def test_a_damaged_record_does_not_keep_a_file_from_being_read(home: Home, file: Path) -> None:
    record(home)
    place = home.testbed("ring").applied
    place.write_text(place.read_text()[:-20])
    assert not from_record(home, file)


def test_a_record_of_before_fingerprints_is_good_for_all_else(home: Home, file: Path) -> None:
    applied = record(home)
    place = home.testbed("ring").applied
    place.write_text(place.read_text().replace('"fingerprint"', '"something"'))
    assert load_applied(home.testbed("ring")) == applied
    assert not from_record(home, file)


def test_a_bad_file_is_refused_whatever_was_applied(home: Home, file: Path) -> None:
    record(home)
    file.write_text(RING + "nonsense: 1\n")
    with pytest.raises(InputError, match="unknown key"):
        read_testbed(home, file)


def test_a_name_that_leads_elsewhere_is_refused(home: Home, file: Path) -> None:
    with pytest.raises(UsageError):
        read_testbed(home, file, "../ring")


def test_a_file_with_another_text_is_recorded_though_it_means_the_same(home: Home) -> None:
    applied = record(home)
    reworded = replace(applied, testbed=replace(applied.testbed, fingerprint="other"))
    assert applied == reworded
    assert same_record(applied, applied)
    assert not same_record(applied, reworded)
    assert not same_record(None, applied)


def test_a_second_init_loads_none_of_what_a_new_file_needs(home: Home, file: Path) -> None:
    record(home)
    program = f"""
import sys
from pathlib import Path
import vct.cli.main, vct.cli.testbed, vct.verbs.testbed
from vct.drivers import registry
from vct.paths import Home
from vct.verbs.record import read_testbed
root = Path({str(home.root)!r})
read_testbed(Home(root=root, images=root / "images", run=root / "run"), Path({str(file)!r}))
print(*sys.modules)
"""
    loaded = process.run([sys.executable, "-c", program]).stdout.split()
    heavy = {"pydantic", "yaml", "rich", "plumbum", "cryptography", "vct.model.recipe"}
    assert heavy.intersection(loaded) == set()
