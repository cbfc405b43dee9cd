"""Saturated throughput as tables."""

from benchmarks.results import BenchmarkResults
from benchmarks.tables.section import EMPTY, TableSection


def throughput_table(results: BenchmarkResults) -> TableSection:
    """Return the saturated throughput of the platform and of what it is compared with."""
    rows = [
        (
            f"platform, backlog {number}",
            f"{drain.per_second:.0f}",
            f"{drain.first_to_last:.0f} from first to last answer",
        )
        for number, drain in enumerate(results.saturated, 1)
    ]
    for peer in results.alone:
        threads = f"{peer.threads or 'default'} threads of ONNX Runtime, {peer.cpu_ms:.2f} ms of CPU time each"
        rows.append(("one at a time", f"{peer.per_second:.0f}", threads))
    if results.limit:
        best = results.limit.best
        batches = f"batches of {best.batch_size}, {best.at_once} at a time, {best.threads} threads each"
        rows.append(("limit: ONNX Runtime alone", f"{best.per_second:.0f}", batches))
    if whole := results.in_process:
        times = f"{whole.cpu_ms:.2f} ms of CPU time each, {whole.runtime_cpu_ms:.2f} ms of them in ONNX Runtime"
        rows.append(("the same with preprocessing and decoding, in one process", f"{whole.per_second:.0f}", times))
    return TableSection("Saturated throughput", ("", "lines/s", ""), rows)


def sweep_table(results: BenchmarkResults) -> TableSection:
    """Return the speed of ONNX Runtime alone at each batch size."""
    if results.limit is None:
        return EMPTY
    rows = [
        (str(speed.batch_size), str(speed.threads), str(speed.at_once), f"{speed.per_second:.0f}")
        for speed in results.limit.sweep
    ]
    return TableSection("ONNX Runtime alone", ("batch", "threads", "at once", "lines/s"), rows)


def task_table(results: BenchmarkResults) -> TableSection:
    """Return the saturated throughput of the other tasks."""
    rows = []
    for name, cost in results.tasks.items():
        speeds = (cost.drain.per_second, cost.peer.per_second, cost.limit.whole.per_second, cost.limit.best.per_second)
        ratios = (cost.peer_ratio, cost.end_to_end_ratio, cost.limit_ratio)
        times = (cost.limit.preprocess_ms, cost.limit.decode_ms)
        rows.append(
            (
                name,
                *(f"{speed:.0f}" for speed in speeds),
                *(f"{ratio:.2f}" for ratio in ratios),
                *(f"{ms:.2f}" for ms in times),
            )
        )
    speed_columns = ("platform /s", "one at a time /s", "ONNX Runtime, end to end /s", "ONNX Runtime alone /s")
    ratio_columns = ("platform / one at a time", "/ end to end", "/ alone", "preprocess ms", "decode ms")
    return TableSection("The other tasks, saturated", ("task", *speed_columns, *ratio_columns), rows)
