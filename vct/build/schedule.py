"""Work that depends on other work, several pieces at a time. Knows nothing of images."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from vct.errors import VctError

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


def run_in_order(
    needs: Mapping[K, K | None],
    work: Callable[[K], T],
    *,
    jobs: int,
    stop: Callable[[], None],
) -> tuple[dict[K, T], dict[K, VctError]]:
    """Call `work` for each key after the key that it needs, at most `jobs` at a time, in threads.

    Returns the results and the failures. What needs something that failed is not begun and is in
    neither; all else is done. When the caller is interrupted, or `work` raises what is no VctError,
    `stop` is called, what runs is waited for, and it is raised.
    """
    waiting, results = dict(needs), dict[K, T]()
    failures: dict[K, VctError] = {}
    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
        running: dict[Future[T], K] = {}
        try:
            while True:
                for key in [key for key, need in waiting.items() if need in (None, *results)]:
                    del waiting[key]
                    running[pool.submit(work, key)] = key
                if not running:
                    return results, failures
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    key = running.pop(future)
                    try:
                        results[key] = future.result()
                    except VctError as error:
                        failures[key] = error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            stop()
            raise
