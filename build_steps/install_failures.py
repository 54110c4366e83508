"""Makes of an installer's output one sentence that says what to do."""

from __future__ import annotations

import platform
import re
import shutil
import sys
import tempfile
from pathlib import Path

from .paths import REPOSITORY

NO_SPACE = re.compile(r"No space left on device|Errno 28\b|not enough space on the disk|Disk quota exceeded", re.I)
READ_ONLY = re.compile(r"Read-only file system|Permission denied|Access is denied|Errno (13|30)\b", re.I)
NO_CERTIFICATE = re.compile(r"CERTIFICATE_VERIFY_FAILED|SSLError|SSLCertVerification", re.I)
NO_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeout|ProxyError|ReadTimeout|Max retries exceeded"
    r"|Temporary failure in name resolution|getaddrinfo failed|nodename nor servname|Network is unreachable"
    r"|Connection (refused|aborted|reset)|RemoteDisconnected|Cannot connect to proxy",
    re.I,
)
NO_PACKAGE = re.compile(
    r"No matching distribution found for (\S+)|Could not find a version that satisfies the requirement (\S+)"
)
NO_VENV = re.compile(r"ensurepip", re.I)
NEEDED_GIGABYTES = 8


def explain_failed_install(output: str, exit_code: int, log: Path | None) -> str:
    """One sentence about a failed `python -m venv` or `pip install`, from what it printed and its exit code."""
    # The order matters: pip tells of a missing package after it could not reach the index, or could not store it.
    if NO_SPACE.search(output):
        return (
            f"The disk is full ({_free(REPOSITORY)} free here, {_free(Path(tempfile.gettempdir()))} in the temporary "
            f"folder): free about {NEEDED_GIGABYTES} GB, or set TMPDIR to a folder with room, and run this again."
        )
    if READ_ONLY.search(output):
        return (
            f"{REPOSITORY} cannot be written: give yourself the right to write there, or copy the project to a folder "
            "of your own, and run this again."
        )
    if NO_CERTIFICATE.search(output):
        return (
            "The package index's certificate is not trusted here: set PIP_CERT to your network's certificate file "
            "and run this again."
        )
    if NO_NETWORK.search(output):
        return (
            "The packages cannot be downloaded: connect this machine to the network (behind a proxy, set HTTPS_PROXY), "
            "or set PIP_FIND_LINKS to a folder that has them, and run this again."
        )
    if found := NO_PACKAGE.search(output):
        python = f"Python {sys.version_info[0]}.{sys.version_info[1]}"
        return (
            f"No build of {found[1] or found[2]} is published for {python} on "
            f"{platform.system()} {platform.machine()}: use 64-bit Python 3.11 or 3.13 on Windows, Linux or an Apple "
            "Silicon Mac."
        )
    if NO_VENV.search(output):
        return (
            "This Python cannot make virtual environments: install its venv package (on Debian and Ubuntu: "
            f"python{sys.version_info[0]}.{sys.version_info[1]}-venv) and run this again."
        )
    if exit_code in (-9, 137):
        return "The system ended the installation, most likely for want of memory: close programs and run this again."
    errors = [line.strip() for line in output.splitlines() if line.strip().lower().startswith("error")]
    cause = errors[-1] if errors else f"pip ended with code {exit_code}"
    where = f" (all of its output is in {log})" if log else ""
    return f"Installing failed with “{cause}”{where}: mend that and run this again."


def _free(folder: Path) -> str:
    return f"{shutil.disk_usage(folder).free / 1e9:.1f} GB"
