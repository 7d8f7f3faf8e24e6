"""The page on reliability: every promise has tests, and they exist."""

import re

import pytest


@pytest.fixture(scope="module")
def promises(project):
    text = (project / "docs/reliability.md").read_text(encoding="utf-8")
    cases = text.partition("## Bad images")[2].partition("## Limits")[0]
    return re.split(r"^- \*\*", cases, flags=re.MULTILINE)[1:]


def test_every_promise_names_tests_that_exist(project, promises):
    assert len(promises) > 20
    for promise in promises:
        tests = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", promise)
        assert tests, promise
        for path, name in tests:
            assert f"\ndef {name}(" in (project / path).read_text(encoding="utf-8"), f"{path}::{name}"


def test_no_name_of_a_test_is_written_in_another_way(promises):
    for promise in promises:
        assert promise.count("test_") - promise.count("/test_") == promise.count("::test_"), promise
