"""PgBouncer in transaction mode before a test's Postgres, on machines that have one new enough."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from darkroom_local.home import make_private, write_private
from darkroom_local.parts.postgres import AS_NOBODY
from darkroom_local.ports import LOOPBACK
from darkroom_local.probes import listens
from darkroom_local.program import Program

OLDEST = (1, 21)
"""The first that keeps prepared statements in transaction mode."""
MISSING = "needs PgBouncer 1.21 or newer, on the search path or named by DARKROOM_TEST_PGBOUNCER"


@cache
def find() -> str | None:
    """Path of a PgBouncer that is new enough."""
    program = os.environ.get("DARKROOM_TEST_PGBOUNCER") or shutil.which("pgbouncer")
    if program is None:
        return None
    told = subprocess.run((program, "--version"), capture_output=True, text=True, check=True, timeout=10).stdout
    version = re.search(r"PgBouncer (\d+)\.(\d+)", told)
    return program if version and (int(version[1]), int(version[2])) >= OLDEST else None


@dataclass(frozen=True)
class PgBouncer:
    """One pooler before the server of `server_url`, for all of its databases."""

    folder: Path
    port: int
    server_url: str
    program: str
    pool_size: int
    """Server connections for each database."""

    def pooled(self, database_url: str) -> str:
        """Return the URL of the same database through the pooler."""
        parts = urlsplit(database_url)
        return urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@{LOOPBACK}:{self.port}"))

    def prepare(self) -> None:
        server = urlsplit(self.server_url)
        make_private(self.folder)
        write_private(self.folder / "users.txt", f'"{server.username}" "{server.password}"\n')
        write_private(
            self.folder / "pgbouncer.ini",
            f"""\
[databases]
* = host={server.hostname} port={server.port}

[pgbouncer]
listen_addr = {LOOPBACK}
listen_port = {self.port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = users.txt
pool_mode = transaction
max_prepared_statements = 200
default_pool_size = {self.pool_size}
""",
        )

    def programs(self) -> tuple[Program, ...]:
        # It refuses to run as root, as PostgreSQL does.
        prefix = AS_NOBODY if os.geteuid() == 0 else ()
        return (
            Program(
                name="pgbouncer",
                command=(*prefix, self.program, "pgbouncer.ini"),
                directory=self.folder,
                ready=lambda: listens(self.port),
                stop_signal="INT",
            ),
        )
