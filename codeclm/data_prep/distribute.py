"""Many parts of one work: one after the other, in processes of this machine, or on Ray.

The work is a function of its part alone that leaves what it made on the disk, so that all three
make the same, and a part whose worker died is simply done again.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, Literal, TypeVar

Engine = Literal["local", "ray"]
PartT = TypeVar("PartT")
ResultT = TypeVar("ResultT")

DEATHS = 3  # of workers that a part, or here all of them together, may survive


def spread(
    work: Callable[[PartT], ResultT],
    parts: Sequence[PartT],
    engine: Engine = "local",
    workers: int | None = None,
    gpus: int = 0,
) -> Iterator[ResultT]:
    """What the work makes of each part, in any order.

    Args:
        work: a function of a module, which a worker can import.
        parts: plain data.
        engine: `local`, or `ray`: the cluster that `RAY_ADDRESS` or `ray start` made known, else
            processes of this machine.
        workers: parts done at a time; None: one in this process, or all that Ray has room for.
        gpus: that a worker of Ray needs.

    Raises:
        ImportError: Ray is not installed.
        ValueError: workers die again and again.
    """
    if engine == "ray":
        return _on_ray(work, parts, workers, gpus)
    if workers is None or workers == 1:
        return map(work, parts)
    return _in_processes(work, parts, workers)


def _in_processes(
    work: Callable[[PartT], ResultT], parts: Sequence[PartT], workers: int
) -> Iterator[ResultT]:
    left = dict(enumerate(parts))
    for _ in range(DEATHS + 1):
        if not left:
            return
        pool = ProcessPoolExecutor(min(workers, len(left)), get_context("spawn"))
        try:
            going = {pool.submit(work, part): number for number, part in left.items()}
            for future in as_completed(going):
                result = future.result()
                del left[going[future]]
                yield result
        except BrokenProcessPool:
            continue  # a new pool takes what is left
        finally:
            pool.shutdown(cancel_futures=True)
    if left:
        raise ValueError(
            f"workers were killed {DEATHS + 1} times: is the memory enough for {workers} of them? "
            "What is done is kept; run again with fewer `workers`"
        )


def _on_ray(
    work: Callable[[PartT], ResultT], parts: Sequence[PartT], workers: int | None, gpus: int
) -> Iterator[ResultT]:
    try:
        import ray
    except ImportError:
        raise ImportError("engine `ray` is not installed: pip install 'codeclm[ray]'") from None
    mine = not ray.is_initialized()
    if mine:
        ray.init(log_to_driver=False)
    try:
        task: Any = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=DEATHS)(work)
        room = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        waiting, going = deque(parts), list[Any]()
        while waiting or going:
            while waiting and len(going) < room:
                going.append(task.remote(waiting.popleft()))
            (done, *_), going = ray.wait(going)
            yield ray.get(done)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None  # the mistake itself, without the story of its way here
    except ray.exceptions.WorkerCrashedError:
        raise ValueError(
            f"a worker was killed {DEATHS + 1} times at the same part: is its memory enough? What "
            "is done is kept"
        ) from None
    finally:
        if mine:
            ray.shutdown()
