"""Whether PostgreSQL's driver is installed: it is an extra, and imported only where it is used."""

from service.stores.store_failure import DatabaseUnusable


def require_driver() -> None:
    """Make sure that what imports the driver can be imported.

    Raises:
        DatabaseUnusable: it is not installed, or does not work here.
    """
    try:
        import psycopg  # noqa: F401, PLC0415 - not where SQLite is used
        import psycopg_pool  # noqa: F401, PLC0415
    except ImportError as error:
        raise DatabaseUnusable(
            f"PostgreSQL needs its driver: install sequence-step-service[postgres] ({error})"
        ) from error
