"""The page on reliability: every promise has tests, named as sentences, and they exist."""

import re


def test_every_promise_has_tests_that_exist(project):
    text = (project / "docs/reliability.md").read_text(encoding="utf-8")
    cases = text.partition("## Bad images")[2].partition("## Limits")[0]
    promises = re.split(r"^- \*\*", cases, flags=re.MULTILINE)[1:]
    assert len(promises) > 20
    for promise in promises:
        tests = re.findall(r"^  - (.+) \(`(tests/[\w/]+\.py)`\)$", promise, flags=re.MULTILINE)
        assert tests, promise
        assert len(tests) == promise.count("  - "), promise
        for sentence, path in tests:
            name = f"test_{sentence.replace(' ', '_')}"
            assert f"\ndef {name}(" in (project / path).read_text(encoding="utf-8"), f"{path}: {name}"
