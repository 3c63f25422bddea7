"""Reading YAML: values, places, and text that is none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vct.errors import InputError
from vct.model import yamltext
from vct.model.problems import render_path
from vct.model.textfile import SIZE_MAX, read_text
from vct.model.yamltext import Tree, parse_tree


def tree_of(text: str) -> Tree:
    tree = parse_tree(text, "file.yaml")
    assert tree is not None
    return tree


def test_it_works() -> None:
    assert tree_of("a: [1, b, 2.5, true, null]").value == {"a": [1, "b", 2.5, True, None]}


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "\n\n"])
def test_text_without_content_has_no_value(text: str) -> None:
    tree = parse_tree(text, "file.yaml")
    assert tree is None or tree.value is None


def test_every_value_knows_its_place() -> None:
    tree = tree_of("a:\n  - x\n  - {é: y}\n")
    assert tree.find(("a", 0)).place == (2, 5)
    assert tree.find(("a", 1, "é")).place == (3, 9)
    assert tree.key_place(("a", 1, "é")) == (3, 6)
    assert tree.key_place(("a", 1)) == (3, 5)


def test_what_is_not_there_is_placed_at_what_should_have_it() -> None:
    assert tree_of("a:\n  b: 1\n").find(("a", "c", "d")).place == (2, 3)


def test_text_keeps_what_was_written() -> None:
    tree = tree_of("{id: 0001, date: 2024-01-01, quoted: '0001', exponent: 1e-05, eq: =}")
    assert tree.find(("id",)).raw == "0001"
    assert tree.value == {
        "id": 1,
        "date": "2024-01-01",
        "quoted": "0001",
        "exponent": "1e-05",
        "eq": "=",
    }


def test_an_anchor_without_an_alias_does_no_harm() -> None:
    assert tree_of("a: &x 1").value == {"a": 1}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(codec="ascii", categories=["L"])), inner, max_size=4
        )
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from("abc"), json_values))
def test_plain_data_is_read_as_pyyaml_reads_it(value: dict[str, Any]) -> None:
    text = yaml.safe_dump(value, allow_unicode=True)
    assert tree_of(text).value == yaml.safe_load(text)


@given(st.text())
def test_any_text_is_a_value_or_an_input_error_with_a_place(text: str) -> None:
    fault = None
    try:
        parse_tree(text, "file.yaml")
    except InputError as error:
        fault = error
    assert fault is None or fault.line is not None


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "a: " + "{a: " * 100_000, "\n".join(" " * n + "-" for n in range(1000))],
    ids=["lists", "mappings", "lines"],
)
def test_deep_nesting_is_refused_and_not_followed(text: str) -> None:
    with pytest.raises(InputError, match="nested too deeply"):
        parse_tree(text, "file.yaml")


def test_the_pure_python_parser_does_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamltext, "Loader", yaml.SafeLoader)
    assert tree_of("a: [1]").value == {"a": [1]}
    with pytest.raises(InputError, match="a tab where YAML wants spaces"):
        parse_tree("a:\n\tb: 1", "file.yaml")


# --- files ---------------------------------------------------------------------------------------


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert tree_of(read_text(file)).value == {"a": 1}


def test_a_pipe_is_read_too(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"a: 1\n")
    os.close(writing)
    assert read_text(Path(f"/dev/fd/{reading}")) == "a: 1\n"
    os.close(reading)


def test_a_file_over_4_mib_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_bytes(b"#" * SIZE_MAX)
    assert len(read_text(file)) == SIZE_MAX
    file.write_bytes(b"#" * (SIZE_MAX + 1))
    with pytest.raises(InputError, match="is larger than 4 MiB"):
        read_text(file)


def test_an_endless_file_is_refused() -> None:
    with pytest.raises(InputError, match="is larger than 4 MiB"):
        read_text(Path("/dev/zero"))


def test_a_path_renders_as_jq_writes_it() -> None:
    assert render_path(("links", 2, "between", 0)) == "links[2].between[0]"
    assert render_path(("nodes", "0001", "memory")) == "nodes.0001.memory"
    assert render_path(()) == ""
