"""The cost of an event of each task, and the speed of what does the same work without the platform."""

from dataclasses import dataclass, field
from functools import cached_property

from benchmarks.in_process import InProcessSpeed
from benchmarks.slopes import CostLine, fit_line, fit_stages
from benchmarks.stage_costs import StageCosts
from benchmarks.throughput import BacklogResult


@dataclass(frozen=True)
class SizedCost:
    """The cost of an event of one size: on the platform, and of the same payloads in one process."""

    kilobytes: float
    """Of its payload and its features, which are what the log carries."""
    costs: StageCosts
    in_process: InProcessSpeed

    @property
    def tax_ms(self) -> float:
        """Return the CPU time of the platform beyond that of the work itself."""
        return self.costs.total - self.in_process.cpu_ms


@dataclass
class TaskCost:
    """The saturated platform, with payloads of several sizes, first as they are; and the peers, by name."""

    drain: BacklogResult
    sizes: list[SizedCost]
    peers: dict[str, BacklogResult] = field(default_factory=dict)

    @property
    def in_process(self) -> InProcessSpeed:
        """Return the speed in one process of payloads as they are."""
        return self.sizes[0].in_process

    @cached_property
    def lines(self) -> dict[str, CostLine]:
        """Return costs as lines over the size: of each stage, in total, and the tax, which is without the work."""
        kilobytes = [size.kilobytes for size in self.sizes]
        total = fit_line(kilobytes, [size.costs.total for size in self.sizes])
        stages = fit_stages(kilobytes, [size.costs.by_stage for size in self.sizes])
        return stages | {"total": total, "tax": self.tax}

    @cached_property
    def tax(self) -> CostLine:
        """Return what the platform adds to the work in one process."""
        return fit_line([size.kilobytes for size in self.sizes], [size.tax_ms for size in self.sizes])

    @property
    def ratios(self) -> dict[str, float]:
        """Return the platform's throughput as a share of each other's."""
        others = {
            "in one process": self.in_process.per_second,
            "ONNX Runtime alone": self.in_process.runtime_per_second,
            **{name: peer.per_second for name, peer in self.peers.items()},
        }
        return {name: self.drain.per_second / per_second for name, per_second in others.items()}
