"""The PostgreSQL server of the tests can be killed, and comes back with what was committed."""

from __future__ import annotations

import psycopg
import pytest

from servers.postgres import PostgresServer


def test_committed_rows_survive_a_kill_and_open_ones_do_not(postgres: PostgresServer) -> None:
    with psycopg.connect(postgres.dsn) as connection:
        connection.execute("CREATE TABLE sale (number bigint PRIMARY KEY)")
        connection.execute("INSERT INTO sale VALUES (1)")
    open_connection = psycopg.connect(postgres.dsn)
    open_connection.execute("INSERT INTO sale VALUES (2)")
    postgres.kill()
    with pytest.raises(psycopg.OperationalError):
        open_connection.commit()
    open_connection.close()
    postgres.start()
    with psycopg.connect(postgres.dsn) as connection:
        assert connection.execute("SELECT number FROM sale").fetchall() == [(1,)]


def test_restarts_again_and_again_on_the_same_port(postgres: PostgresServer) -> None:
    dsn = postgres.dsn
    for _ in range(5):
        postgres.restart()
        with psycopg.connect(dsn) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("on",)
