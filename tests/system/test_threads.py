"""Work in threads, compared with the same work in one call."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gmmquant.system import threads
from gmmquant.system.threads import n_processors

law = settings(max_examples=60)


@pytest.fixture(params=[1, 2, 3], autouse=True, scope="module")
def small(request):
    """Small chunks, so that short arrays count as long, and one processor or more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "_CHUNK_ELEMENTS", 4)
        patch.setattr(threads, "_MIN_ELEMENTS", 10)
        patch.setattr(threads, "n_processors", lambda: request.param)
        yield


@pytest.mark.parametrize("n", [0, 1, 4, 5, 9, 10, 11, 40, 41])
def test_every_element_is_in_one_chunk(n):
    visits = np.zeros(n, dtype=int)
    sizes = []

    def visit(chunk):
        visits[chunk] += 1
        sizes.append(chunk.stop - chunk.start)

    threads.for_chunks(visit, n)
    assert (visits == 1).all()
    assert sum(sizes) == n
    assert max(sizes, default=0) <= 4


@pytest.mark.parametrize("n", [8, 40])
def test_exceptions_of_the_work_are_raised(n):
    def fail(chunk):
        if chunk.start == 4:
            raise MemoryError

    with pytest.raises(MemoryError):
        threads.for_chunks(fail, n)


@law
@given(st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 3), max_size=60), st.sampled_from([np.uint32, np.uint64]))
def test_sorted_in_two_halves_is_sorted(values, dtype):
    array = np.array(values, dtype=dtype)
    threads.sort(array)
    assert array.tolist() == sorted(values)


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
def test_a_long_array_is_sorted_too(dtype):
    array = np.random.default_rng(0).integers(0, 1 << 24, 50_001).astype(dtype)
    expected = sorted(array.tolist())
    threads.sort(array)
    assert array.tolist() == expected


def test_if_no_thread_can_be_started_the_caller_runs_all_tasks(monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", refuse)
    array = np.arange(100, 0, -1, dtype=np.uint32)
    threads.sort(array)
    assert array.tolist() == list(range(1, 101))
    visits = np.zeros(50, dtype=int)

    def visit(chunk):
        visits[chunk] += 1

    threads.for_chunks(visit, 50)
    assert (visits == 1).all()


def test_the_number_of_processors_is_that_of_the_process():
    assert 1 <= n_processors() <= (os.cpu_count() or 1)


def test_without_a_list_of_its_processors_a_process_may_use_all(monkeypatch):
    """As on macOS."""
    monkeypatch.setattr(threads, "_share", None)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert n_processors() == os.cpu_count()
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert n_processors() == 1
