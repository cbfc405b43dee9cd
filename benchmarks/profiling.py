"""Flame graphs of the platform's processes: by py-spy of those in Python, by async-profiler of those in Java."""

import asyncio
import platform
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from zipfile import ZipFile

import psutil

from app.system import jars, java
from benchmarks.progress import Progress
from benchmarks.resource_usage import ProcessRoots, processes_by_stage

ASYNC_PROFILER = jars.Jar(
    "tools.profiler:async-profiler:4.6", "a5d3d9f4582c2033fa9db518046e73ef97219801f3e7542b82e3e09261ebe493"
)
SAMPLES_PER_SECOND = 200
STOP_SECONDS = 60.0


@asynccontextmanager
async def profile_processes(roots: ProcessRoots, folder: Path, progress: Progress) -> AsyncIterator[None]:
    """Sample every process for as long as the block lasts, and write a flame graph of each into the folder."""
    library = await asyncio.to_thread(_async_profiler)
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    recorders: list[asyncio.subprocess.Process] = []
    jvms: dict[Path, int] = {}
    try:
        for name, process in _named_processes(roots).items():
            if process.name() == "java":
                jvms[folder / f"{name}.html"] = process.pid
                start = f"start,event=cpu,interval={1_000_000 // SAMPLES_PER_SECOND}us"
                await _control_jvm(process.pid, library, start)
            elif process.name().startswith("python"):
                recorders.append(await _record_python(process.pid, folder / f"{name}.svg"))
        yield
    finally:
        for path, pid in jvms.items():
            await _control_jvm(pid, library, f"stop,file={path}")
        failed = [reason for reason in await asyncio.gather(*map(_finish, recorders)) if reason]
        for reason in failed:
            progress.note(f"py-spy: {reason}")


def _named_processes(roots: ProcessRoots) -> dict[str, psutil.Process]:
    """Return the processes by stage, numbered where a stage has several."""
    named = {}
    for stage, members in processes_by_stage(roots).items():
        for number, process in enumerate(members, 1):
            named[stage if len(members) == 1 else f"{stage} {number}"] = process
    return named


async def _record_python(pid: int, path: Path) -> asyncio.subprocess.Process:
    program = Path(sys.executable).with_name("py-spy")
    options = ("--pid", str(pid), "--output", path, "--rate", str(SAMPLES_PER_SECOND), "--nonblocking")
    return await asyncio.create_subprocess_exec(
        *(program, "record", *options), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )


async def _finish(recorder: asyncio.subprocess.Process) -> str:
    """End py-spy, which then writes its file. Return why it could not, or nothing."""
    if recorder.returncode is None:
        recorder.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            _, errors = await recorder.communicate()
    except TimeoutError:
        recorder.kill()
        return f"it has not ended within {STOP_SECONDS:g} s"
    return "" if recorder.returncode == 0 else errors.decode().strip()


def _async_profiler() -> Path:
    """Return async-profiler's library for this machine."""
    [jar] = jars.fetch_jars([ASYNC_PROFILER])
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    name = "macos" if sys.platform == "darwin" else f"linux-{machine}"
    library = jar.with_suffix(f".{name}.so")
    if not library.exists():
        with ZipFile(jar) as archive:
            library.write_bytes(archive.read(f"{name}/libasyncProfiler.so"))
    return library


async def _control_jvm(pid: int, library: Path, command: str) -> None:
    """Load the library into a running JVM, with a command for it."""
    jcmd = await asyncio.create_subprocess_exec(
        *(java.home() / "bin" / "jcmd", str(pid), "JVMTI.agent_load", library, f'"{command}"'),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await jcmd.wait()
    except TimeoutError:
        jcmd.kill()
        await jcmd.wait()
