"""A controller on a database in a file, whose process is killed at each step of some writes.

`python -m tests.controller.a_killed_process`, with VCT_CONTROLLER_CONFIG, writes one object: by
write whether the database was as before at the end of each try, of which the last was not killed;
and what writers are told while somebody else holds the database.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import django
from django.conf import settings

os.environ["DJANGO_SETTINGS_MODULE"] = "vct.controller.settings"
django.setup()
settings.ALLOWED_HOSTS = ["testserver"]
settings.DATABASES["default"]["OPTIONS"]["timeout"] = 0.1

from django.core.management import call_command  # noqa: E402 - Django is known now
from django.db import connection  # noqa: E402

from tests.controller.caller import Caller, reference  # noqa: E402
from tests.controller.factories import Cast, a_safe_node, a_slice, a_sliver  # noqa: E402

WRITES = ("INSERT", "UPDATE", "DELETE")
Write = Callable[[], Any]


def rows(database: Path) -> str:
    """Everything that is in the database."""
    with closing(sqlite3.connect(database)) as file:
        return "\n".join(file.iterdump())


def put_back(saved: Path, database: Path) -> None:
    """The database as it was saved, without what a killed writer left beside it."""
    for rest in ("-wal", "-shm"):
        database.with_name(database.name + rest).unlink(missing_ok=True)
    shutil.copy(saved, database)


def killed_after(steps: int, write: Write) -> bool:
    """Does it in a process that is killed after that many writes; whether there were as many."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    left = iter(range(steps))

    def query(execute: Callable[..., Any], sql: str, *told: Any) -> Any:
        if sql.startswith(WRITES) and next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return execute(sql, *told)

    with connection.execute_wrapper(query):
        write()
    os._exit(0)


def tries(write: Write, saved: Path, database: Path) -> list[bool]:
    """Whether each try left the database as it was."""
    put_back(saved, database)
    before, killed = rows(database), True
    unchanged: list[bool] = []
    while killed:
        put_back(saved, database)
        killed = killed_after(len(unchanged), write)
        unchanged.append(rows(database) == before)
    put_back(saved, database)
    return unchanged


def made() -> dict[str, Write]:
    """What is written to a testbed that this makes."""
    cast = Cast()
    sliver = a_sliver(a_slice(cast.group), a_safe_node(cast.group))
    spare, sue = a_safe_node(cast.group), Caller(cast.sue)
    node, slice_ = f"/api/nodes/{sliver.node_id}/", f"/api/slices/{sliver.slice_id}/"
    new = {
        "slice": reference("slices", sliver.slice_id),
        "node": reference("nodes", spare.pk),
        "interfaces": [{"nr": 0, "name": "priv", "type": "private"}],
    }
    roles = [{"user": reference("users", cast.mia.pk), "is_group_admin": True}]
    for kind in ("nodes", "groups", "slices", "slivers"):  # what each process would load again
        sue.patch(f"/api/{kind}/1/", b"{")
        sue.get(f"/api/v0/{kind}/")
    return {
        "create": lambda: sue.post("/api/slivers/", new),
        "change": lambda: sue.patch(node, {"direct_ifaces": ["eth1", "eth2"], "name": "new"}),
        "roles": lambda: sue.patch(f"/api/v0/groups/{cast.group.pk}/", {"user_roles": roles}),
        "delete": lambda: sue.delete(slice_),
        "upload": lambda: sue.upload(f"{slice_}ctl/upload-data/", io.BytesIO(b"data")),
    }


def main() -> None:
    """Makes the testbed, then does each write again and again."""
    call_command("migrate", verbosity=0)
    writes = made()
    connection.close()  # what is written is in the file now
    database = Path(connection.settings_dict["NAME"])
    saved = database.with_name("saved")
    shutil.copy(database, saved)
    unchanged = {name: tries(write, saved, database) for name, write in writes.items()}
    before = rows(database)
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        held = [write().status_code for write in writes.values()]
        other.execute("ROLLBACK")
    connection.close()
    untouched = rows(database) == before
    json.dump({"unchanged": unchanged, "held": held, "untouched": untouched}, sys.stdout)


if __name__ == "__main__":
    main()
