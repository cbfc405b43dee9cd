"""Our Java classes in `java/`, compiled by Janino, the Java compiler that Flink contains.

They are the ends of the pipeline, which Flink's Python API does not have: Kafka's records with their headers to and
from bytes, and batches of them. The jar is made at the first start, and kept in the cache under the hash of its source;
`python -m app.preprocess.java_classes` makes it for an image.
"""

import hashlib
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from py4j.java_gateway import JavaGateway
from py4j.protocol import Py4JJavaError
from pyflink.find_flink_home import _find_flink_home

from app.errors import SetupError
from app.preprocess.java_process import end_java, start_java
from app.settings import settings
from app.system import jars, java
from app.system.pyflink import prepare_java

PACKAGE = "hindsight"
_SOURCES = Path(__file__).with_name("java")


def flink_classpath() -> list[Path]:
    """Return the jars with which Flink reads Kafka, and our own. Raises SetupError."""
    return [*jars.flink_classpath(), class_jar()]


def class_jar() -> Path:
    """Return the jar of our classes; compile it if it is not in the cache. Raises SetupError."""
    sources = sorted((_SOURCES / PACKAGE).glob("*.java"))
    content = hashlib.sha256("\0".join([jars.CONNECTOR, *(path.read_text() for path in sources)]).encode())
    path = jars.jar_directory() / f"{PACKAGE}-{content.hexdigest()[:16]}.jar"
    if not path.exists():
        try:
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=".compiled-") as folder:
                _compile(sources, Path(folder))
                _archive(Path(folder)).replace(path)
        except OSError as error:
            remedy = "Make the directory writable for the first start, or copy another machine's HINDSIGHT_CACHE."
            raise SetupError(f"Our Java classes cannot be written to {path.parent}: {error}.", remedy) from error
    return path


def _compile(sources: list[Path], folder: Path) -> None:
    gateway = start_java(jars.flink_classpath())
    try:
        classpath = [*Path(_find_flink_home(), "lib").glob("*.jar"), *jars.flink_classpath()]
        compiler = gateway.jvm.org.codehaus.janino.Compiler()
        compiler.setClassPath(_files(gateway, classpath))
        compiler.setDestinationDirectory(gateway.jvm.java.io.File(str(folder)), False)
        compiler.compile(_files(gateway, sources))
    except Py4JJavaError as error:
        message = f"The Java classes in {_SOURCES} cannot be compiled: {error}"  # Java tells it while it lives
        raise SetupError(message, java.REINSTALL) from error
    finally:
        end_java(gateway)


def _files(gateway: JavaGateway, paths: Sequence[Path]) -> Any:
    array = gateway.new_array(gateway.jvm.java.io.File, len(paths))
    for index, path in enumerate(paths):
        array[index] = gateway.jvm.java.io.File(str(path))
    return array


def _archive(folder: Path) -> Path:
    path = folder / "classes.jar"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted((folder / PACKAGE).glob("*.class")):
            archive.write(file, f"{PACKAGE}/{file.name}")
    return path


if __name__ == "__main__":
    prepare_java(settings())
    class_jar()
