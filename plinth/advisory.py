"""The numbers under which locks are held, those of the migrations too, and who holds one."""

import hashlib

PARTS = ("session", "migrating")

HOLDER = """
    select pid, coalesce(nullif(application_name, ''), 'unknown program'), client_addr::text,
           to_char(backend_start, 'YYYY-MM-DD HH24:MI:SS')
    from pg_locks left join pg_stat_activity using (pid)
    where locktype = 'advisory' and granted and objsubid = 1
      and pg_locks.database = (select oid from pg_database where datname = current_database())
      and classid = ((%(key)s::bigint >> 32) & 4294967295)::oid
      and objid = (%(key)s::bigint & 4294967295)::oid
    """


def number_of(name: str) -> int:
    """Return the number under which a lock of some name is held."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)


def lock_key(part: str, version_table: str) -> int:
    """Return the number of one of the two locks (`PARTS`) of a version table's revisions."""
    return number_of(f"plinth {part} {version_table}")
