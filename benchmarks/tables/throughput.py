"""Saturated throughput as tables."""

from benchmarks.results import BenchmarkResults
from benchmarks.tables.section import EMPTY, TableSection


def throughput_table(results: BenchmarkResults) -> TableSection:
    """Return the saturated throughput of the platform and of ONNX Runtime."""
    rows = [
        (
            f"platform, backlog {number}",
            f"{drain.per_second:.0f}",
            f"{drain.first_to_last:.0f} from first to last answer",
        )
        for number, drain in enumerate(results.saturated, 1)
    ]
    if whole := results.whole:
        times = f"{whole.cpu_ms:.2f} ms of CPU time each, {whole.runtime_cpu_ms:.2f} ms of them in ONNX Runtime"
        rows.append(("preprocessing, ONNX Runtime and decoding, in one process", f"{whole.per_second:.0f}", times))
    if results.limit:
        best = results.limit.best
        batches = f"batches of {best.batch_size}, {best.at_once} at a time, {best.threads} threads each"
        rows.append(("ONNX Runtime alone", f"{best.per_second:.0f}", batches))
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
