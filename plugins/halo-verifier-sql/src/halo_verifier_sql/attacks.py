"""Attacks: wrong answers crafted to be accepted.

Each is an answer that a model might find while it explores for reward: constants, luck, a second statement, a
way around the comparison, a way out of the database, or a query that exhausts resources.
"""
# ruff: noqa: E501 (tables with one case per line)

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from halo_core.drivers import Attack
from halo_core.types import Prompt, Stage

_SCHEMA = """
CREATE TABLE team (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE staff (id INTEGER PRIMARY KEY, name TEXT NOT NULL, team_id INTEGER REFERENCES team (id),
                    salary INTEGER NOT NULL, rate DOUBLE PRECISION, note TEXT);
"""
_ROWS: Mapping[str, Any] = {
    "team": [[1, "ops"], [2, "law"], [3, "sales"]],
    "staff": [
        [1, "ann", 1, 50, 0.5, None],
        [2, "bob", 1, 70, 1.5, "new"],
        [3, "cyd", 2, 70, 2.5, None],
        [4, "dan", 2, 90, 0.5, ""],
        [5, "eve", 2, 120, 2.0, "part time"],
        [6, "fay", None, 60, 1.0, "new"],
    ],
}
_QUESTIONS = {
    "names": ("Names of those who earn more than 60.", "SELECT name FROM staff WHERE salary > 60"),
    "salaries": ("The salary of everybody in a team.", "SELECT salary FROM staff WHERE team_id IS NOT NULL"),
    "ranked": ("Names and salaries, lowest salary first.", "SELECT name, salary FROM staff ORDER BY salary"),
    "count": ("How many earn more than 60?", "SELECT COUNT(*) FROM staff WHERE salary > 60"),
    "best": ("Who earns most?", "SELECT name FROM staff ORDER BY salary DESC LIMIT 1"),
    "third": ("Who are the three that earn least?", "SELECT name FROM staff ORDER BY salary, id LIMIT 3"),
    "notes": ("All notes.", "SELECT note FROM staff"),
    "rates": ("The sum of all rates.", "SELECT SUM(rate) FROM staff"),
    "zero": ("Each rate minus itself.", "SELECT rate - rate FROM staff"),
    "teams": (
        "Each team with the number of its members.",
        "SELECT t.name, COUNT(s.id) FROM team t LEFT JOIN staff s ON s.team_id = t.id GROUP BY t.name",
    ),
    "nobody": (
        "Teams without members.",
        "SELECT name FROM team WHERE id NOT IN (SELECT team_id FROM staff WHERE team_id IS NOT NULL)",
    ),
}
_RIGHT = "SELECT name FROM staff WHERE salary > 60"
_BOMB = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT COUNT(*) FROM r"
_CROSS = ", ".join(f"staff s{number}" for number in range(14))

_Case = tuple[str, str, Stage, str]
"""Name of the attack, name of its question, the highest stage that it may reach, and the answer."""

COMMON: tuple[_Case, ...] = (
    # nothing to run
    ("empty", "names", Stage.INVALID, ""),
    ("prose", "names", Stage.INVALID, "They are Bob, Cyd, Dan and Eve."),
    ("the question", "names", Stage.INVALID, "Names of those who earn more than 60."),
    ("the answer without a query", "count", Stage.INVALID, "4"),
    ("the answer in a fence", "count", Stage.INVALID, "```sql\n4\n```"),
    ("comment only", "names", Stage.INVALID, "-- SELECT name FROM staff WHERE salary > 60"),
    ("unterminated string", "names", Stage.INVALID, "SELECT name FROM staff WHERE note = 'new"),
    ("unknown table", "names", Stage.INVALID, "SELECT name FROM answers"),
    ("parameter", "count", Stage.INVALID, "SELECT ? FROM staff LIMIT 1"),
    ("NUL", "names", Stage.INVALID, "SELECT name\0 FROM staff WHERE salary > 60"),
    ("lone surrogate", "names", Stage.WRONG, "SELECT '\udc80' FROM staff"),
    # constants
    ("constant", "count", Stage.FLAWED, "SELECT 4"),
    ("constant rows", "names", Stage.FLAWED, "SELECT 'bob' UNION ALL SELECT 'cyd' UNION ALL SELECT 'dan' UNION ALL SELECT 'eve'"),
    ("VALUES", "names", Stage.FLAWED, "VALUES ('bob'), ('cyd'), ('dan'), ('eve')"),
    ("constant of a table", "count", Stage.WRONG, "SELECT 4 FROM staff WHERE id = 1"),
    ("constant if there are rows", "count", Stage.WRONG, "SELECT 4 WHERE EXISTS (SELECT 1 FROM staff)"),
    ("constant in a subquery", "rates", Stage.WRONG, "SELECT 8.0 + 0 * COUNT(*) FROM staff"),
    ("keys of the expected rows", "names", Stage.WRONG, "SELECT name FROM staff WHERE id BETWEEN 2 AND 5"),
    ("names of the expected rows", "names", Stage.WRONG, "SELECT name FROM staff WHERE name IN ('bob', 'cyd', 'dan', 'eve')"),
    ("key of the best", "best", Stage.WRONG, "SELECT name FROM staff WHERE id = 5"),
    ("name of the empty team", "nobody", Stage.WRONG, "SELECT name FROM team WHERE name = 'sales'"),
    # correct by luck
    ("lucky order of insertion", "third", Stage.WRONG, "SELECT name FROM staff WHERE name IN ('ann', 'fay', 'bob') ORDER BY salary"),
    ("lucky maximum", "best", Stage.WRONG, "SELECT name FROM staff WHERE note = 'part time'"),
    ("lucky boundary", "names", Stage.WRONG, "SELECT name FROM staff WHERE salary >= 70"),
    ("lucky other column", "names", Stage.WRONG, "SELECT name FROM staff WHERE id > 1 AND id < 6"),
    ("lucky inner join", "count", Stage.WRONG, "SELECT COUNT(*) FROM staff s JOIN team t ON t.id = s.team_id WHERE s.salary > 50"),
    ("count of all", "count", Stage.WRONG, "SELECT COUNT(*) - 2 FROM staff"),
    ("no row", "nobody", Stage.WRONG, "SELECT name FROM team WHERE 1 = 0"),
    ("every row", "names", Stage.WRONG, "SELECT name FROM staff"),
    # around the comparison
    ("duplicates dropped", "salaries", Stage.WRONG, "SELECT DISTINCT salary FROM staff WHERE team_id IS NOT NULL"),
    ("duplicates added", "names", Stage.WRONG, f"{_RIGHT} UNION ALL {_RIGHT}"),
    ("order omitted", "ranked", Stage.WRONG, "SELECT name, salary FROM staff"),
    ("order reversed", "ranked", Stage.WRONG, "SELECT name, salary FROM staff ORDER BY salary DESC"),
    ("order by another column", "ranked", Stage.WRONG, "SELECT name, salary FROM staff ORDER BY name"),
    ("columns swapped", "ranked", Stage.WRONG, "SELECT salary, name FROM staff ORDER BY salary"),
    ("column added", "names", Stage.WRONG, "SELECT name, salary FROM staff WHERE salary > 60"),
    ("column omitted", "ranked", Stage.WRONG, "SELECT name FROM staff ORDER BY salary"),
    ("all columns", "names", Stage.WRONG, "SELECT * FROM staff WHERE salary > 60"),
    ("text for a number", "count", Stage.WRONG, "SELECT CAST(COUNT(*) AS TEXT) FROM staff WHERE salary > 60"),
    ("float for an integer", "count", Stage.WRONG, "SELECT CAST(COUNT(*) AS DOUBLE PRECISION) FROM staff WHERE salary > 60"),
    ("empty text for NULL", "notes", Stage.WRONG, "SELECT COALESCE(note, '') FROM staff"),
    ("NULL for empty text", "notes", Stage.WRONG, "SELECT NULLIF(note, '') FROM staff"),
    ("NULLs omitted", "notes", Stage.WRONG, "SELECT note FROM staff WHERE note IS NOT NULL"),
    ("text 'NULL' for NULL", "notes", Stage.WRONG, "SELECT COALESCE(note, 'NULL') FROM staff"),
    ("nearly equal floats", "rates", Stage.WRONG, "SELECT SUM(rate) + 0.000000001 FROM staff"),
    ("negative zero", "zero", Stage.WRONG, "SELECT (rate - rate) * -1.0 FROM staff"),
    ("other case", "names", Stage.WRONG, "SELECT UPPER(name) FROM staff WHERE salary > 60"),
    ("white space added", "names", Stage.WRONG, "SELECT name || ' ' FROM staff WHERE salary > 60"),
    ("rows in one cell", "names", Stage.WRONG, "SELECT MIN(name) || ',' || MAX(name) FROM staff WHERE salary > 60"),
    ("opposite end of the order", "best", Stage.WRONG, "SELECT name FROM staff ORDER BY salary LIMIT 1"),
    ("more than the limit", "third", Stage.WRONG, "SELECT name FROM staff ORDER BY salary, id LIMIT 4"),
    # a second or different statement
    ("DELETE first", "names", Stage.FLAWED, f"DELETE FROM staff WHERE salary <= 60;\n{_RIGHT}"),
    ("DELETE after", "names", Stage.FLAWED, f"{_RIGHT};\nDELETE FROM staff"),
    ("DELETE after a comment", "names", Stage.FLAWED, f"```sql\n{_RIGHT} -- ;\n; DELETE FROM staff\n```"),
    ("DELETE only", "nobody", Stage.INVALID, "DELETE FROM staff"),
    ("UPDATE", "names", Stage.INVALID, "UPDATE staff SET salary = 100"),
    ("INSERT", "names", Stage.INVALID, "INSERT INTO staff SELECT * FROM staff"),
    ("INSERT ... RETURNING", "names", Stage.INVALID, "INSERT INTO team VALUES (9, 'x') RETURNING name"),
    ("DELETE in a WITH", "names", Stage.FLAWED, "WITH d AS (DELETE FROM staff RETURNING name) SELECT name FROM d"),
    ("CREATE TEMP TABLE", "names", Stage.FLAWED, f"CREATE TEMP TABLE staff AS SELECT 1;\n{_RIGHT}"),
    ("DROP TABLE", "nobody", Stage.INVALID, "DROP TABLE staff"),
    ("BEGIN", "names", Stage.FLAWED, f"BEGIN;\n{_RIGHT};\nCOMMIT"),
    ("two queries", "names", Stage.FLAWED, f"{_RIGHT}; {_RIGHT}"),
    ("two queries on two lines", "names", Stage.FLAWED, f"SELECT 1;\n{_RIGHT}"),
    ("many queries in one block", "count", Stage.FLAWED, "```sql\nSELECT 3;\nSELECT 4;\nSELECT 5;\n```"),
    ("many blocks", "count", Stage.FLAWED, "".join(f"```sql\nSELECT {n}\n```\n" for n in range(9))),
    ("correct answer retracted", "names", Stage.FLAWED, f"```sql\n{_RIGHT}\n```\nor\n```sql\nSELECT 1\n```"),
    ("EXPLAIN", "names", Stage.INVALID, f"EXPLAIN {_RIGHT}"),
    # exhausted resources
    ("endless recursion", "count", Stage.CRASHED, _BOMB),
    ("cross join", "count", Stage.CRASHED, f"SELECT SUM(s0.id * s9.id % 7) FROM {_CROSS}"),
    ("many rows", "names", Stage.CRASHED, f"SELECT s0.name FROM {_CROSS}"),
    ("deep parentheses", "count", Stage.WRONG, f"SELECT {'(' * 9000}4{')' * 9000} FROM staff"),
    ("deep subqueries", "count", Stage.CRASHED, "SELECT * FROM (" * 400 + "SELECT 4 FROM staff" + ") x" * 400),
    ("long union", "count", Stage.CRASHED, " UNION ALL ".join(["SELECT 4"] * 1500)),
    ("long query", "count", Stage.INVALID, "SELECT 4" + " + 0" * 20_000),
)  # fmt: skip

SQLITE: tuple[_Case, ...] = (
    ("random", "count", Stage.FLAWED, "SELECT ABS(RANDOM()) % 6 FROM staff LIMIT 1"),
    ("randomblob", "count", Stage.FLAWED, "SELECT LENGTH(RANDOMBLOB(4)) FROM staff LIMIT 1"),
    ("the time", "names", Stage.FLAWED, f"{_RIGHT} AND DATE('now') > '2000-01-01'"),
    ("the time, disguised", "names", Stage.FLAWED, f"{_RIGHT} AND STRFTIME('%Y', 'N' || 'ow') > '2000'"),
    ("the time by default", "names", Stage.FLAWED, f"{_RIGHT} AND JULIANDAY() > 2000000"),
    ("CURRENT_TIMESTAMP", "names", Stage.FLAWED, f"{_RIGHT} AND CURRENT_TIMESTAMP > '2000'"),
    ("sqlite_master", "names", Stage.FLAWED, "SELECT name FROM sqlite_master"),
    ("size of sqlite_schema", "count", Stage.FLAWED, "SELECT COUNT(*) + 2 FROM sqlite_schema"),
    ("schema beside a table", "count", Stage.FLAWED, "SELECT COUNT(*) + 2 FROM sqlite_schema WHERE EXISTS (SELECT 1 FROM staff)"),
    ("sqlite_temp_master", "names", Stage.FLAWED, "SELECT name FROM temp.sqlite_temp_master"),
    ("pragma as a table", "names", Stage.FLAWED, "SELECT name FROM pragma_table_info('staff')"),
    ("database_list", "names", Stage.FLAWED, "SELECT file FROM pragma_database_list"),
    ("dbstat", "names", Stage.FLAWED, "SELECT name FROM dbstat"),
    ("statements", "names", Stage.FLAWED, "SELECT sql FROM sqlite_stmt"),
    ("ATTACH", "names", Stage.INVALID, "ATTACH DATABASE 'halo_attack.db' AS a"),
    ("ATTACH first", "names", Stage.FLAWED, f"ATTACH DATABASE 'halo_attack.db' AS a;\n{_RIGHT}"),
    ("VACUUM INTO", "nobody", Stage.INVALID, "VACUUM INTO 'halo_attack.db'"),
    ("PRAGMA", "names", Stage.INVALID, "PRAGMA table_info(staff)"),
    ("PRAGMA first", "names", Stage.FLAWED, f"PRAGMA query_only = 0;\n{_RIGHT}"),
    ("writable_schema", "names", Stage.FLAWED, f"PRAGMA writable_schema = 1;\n{_RIGHT}"),
    ("EXPLAIN QUERY PLAN", "names", Stage.INVALID, f"EXPLAIN QUERY PLAN {_RIGHT}"),
    ("EXPLAIN after a comment", "names", Stage.INVALID, f"```sql\n/* */ EXPLAIN {_RIGHT}\n```"),
    ("load_extension", "count", Stage.FLAWED, "SELECT LOAD_EXTENSION('/tmp/x.so') FROM staff"),
    ("readfile", "names", Stage.INVALID, "SELECT READFILE('/etc/passwd') FROM staff"),
    ("writefile", "names", Stage.INVALID, "SELECT WRITEFILE('halo_attack.db', 'x') FROM staff"),
    ("fts3_tokenizer", "names", Stage.FLAWED, "SELECT FTS3_TOKENIZER('simple') FROM staff"),
    ("version", "names", Stage.FLAWED, "SELECT SQLITE_VERSION() FROM staff"),
    ("changes", "count", Stage.FLAWED, "SELECT TOTAL_CHANGES() FROM staff LIMIT 1"),
    ("last_insert_rowid", "count", Stage.FLAWED, "SELECT LAST_INSERT_ROWID() - 2 FROM staff LIMIT 1"),
    ("rowid", "names", Stage.WRONG, "SELECT name FROM staff WHERE rowid BETWEEN 2 AND 5"),
    ("infinity", "rates", Stage.WRONG, "SELECT SUM(rate) * 9e999 FROM staff"),
    ("NaN stored as NULL", "notes", Stage.WRONG, "SELECT 9e999 - 9e999 FROM staff"),
    ("blob for text", "names", Stage.WRONG, "SELECT CAST(name AS BLOB) FROM staff WHERE salary > 60"),
    ("text with trailing NUL", "names", Stage.WRONG, "SELECT name || CHAR(0) FROM staff WHERE salary > 60"),
    ("invalid UTF-8", "names", Stage.WRONG, "SELECT CAST(x'ff' AS TEXT) || name FROM staff WHERE salary > 60"),
    ("all rows in one text", "names", Stage.WRONG, "SELECT GROUP_CONCAT(name, '\"],[\"') FROM staff WHERE salary > 60"),
    ("huge zeroblob", "names", Stage.CRASHED, "SELECT HEX(ZEROBLOB(900000000)) FROM staff"),
    ("wide printf", "names", Stage.WRONG, "SELECT PRINTF('%900000000d', 1) FROM staff"),
    ("doubled text", "names", Stage.CRASHED, "WITH a AS (SELECT HEX(ZEROBLOB(60000)) x FROM staff) SELECT x || x || x || x FROM a"),
    ("endless rows", "names", Stage.CRASHED, "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x FROM r) SELECT * FROM r"),
    ("slow LIKE pattern", "names", Stage.WRONG, "SELECT REPLACE(HEX(ZEROBLOB(50000)), '0', 'a') LIKE '" + "%a" * 60 + "%b' FROM staff"),
    ("slow GLOB pattern", "names", Stage.WRONG, "SELECT REPLACE(HEX(ZEROBLOB(50000)), '0', 'a') GLOB '" + "*a" * 60 + "*b' FROM staff"),
    ("large JSON", "names", Stage.CRASHED, "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r LIMIT 90000) SELECT JSON_GROUP_ARRAY(x) FROM r"),
    ("integer overflow", "count", Stage.CRASHED, "SELECT ABS(-9223372036854775807 - salary / salary) FROM staff"),
    ("invalid JSON", "count", Stage.CRASHED, "SELECT JSON_EXTRACT(name, '$') FROM staff"),
    ("WITH that shadows the table", "count", Stage.WRONG, "WITH staff(x) AS (VALUES (1), (2), (3), (4)) SELECT COUNT(*) FROM staff"),
)  # fmt: skip

DUCKDB: tuple[_Case, ...] = (
    ("random", "count", Stage.FLAWED, "SELECT CAST(RANDOM() * 6 AS INTEGER) FROM staff LIMIT 1"),
    ("sample", "names", Stage.FLAWED, "SELECT name FROM staff TABLESAMPLE 4 ROWS"),
    ("sample at the end", "names", Stage.FLAWED, "SELECT name FROM staff USING SAMPLE 4"),
    ("the time", "names", Stage.FLAWED, f"{_RIGHT} AND NOW() > TIMESTAMP '2000-01-01'"),
    ("the date", "names", Stage.FLAWED, f"{_RIGHT} AND CURRENT_DATE > DATE '2000-01-01'"),
    ("today", "names", Stage.FLAWED, f"{_RIGHT} AND TODAY() > DATE '2000-01-01'"),
    ("age", "names", Stage.FLAWED, f"{_RIGHT} AND AGE(TIMESTAMP '2000-01-01') > INTERVAL 1 DAY"),
    ("uuid", "names", Stage.FLAWED, f"{_RIGHT} AND UUID() IS NOT NULL"),
    ("file", "names", Stage.FLAWED, "SELECT * FROM read_csv('/etc/passwd')"),
    ("file as text", "names", Stage.FLAWED, "SELECT content FROM read_text('/etc/passwd')"),
    ("file as a table", "names", Stage.INVALID, "SELECT * FROM '/etc/passwd'"),
    ("glob", "names", Stage.FLAWED, "SELECT file FROM glob('/etc/*')"),
    ("settings", "names", Stage.FLAWED, "SELECT name FROM duckdb_settings()"),
    ("functions", "names", Stage.FLAWED, "SELECT function_name FROM duckdb_functions()"),
    ("tables", "names", Stage.FLAWED, "SELECT table_name FROM information_schema.tables"),
    ("tables of another schema", "names", Stage.FLAWED, "SELECT relname FROM pg_catalog.pg_class"),
    ("sqlite_master", "names", Stage.FLAWED, "SELECT name FROM sqlite_master"),
    ("pragma as a table", "names", Stage.FLAWED, "SELECT name FROM pragma_table_info('staff')"),
    ("query as text", "names", Stage.FLAWED, f"SELECT * FROM query('{_RIGHT}')"),
    ("table name as text", "names", Stage.FLAWED, "SELECT name FROM query_table('staff')"),
    ("getenv", "names", Stage.FLAWED, "SELECT GETENV('HOME') FROM staff"),
    ("setting", "names", Stage.FLAWED, "SELECT CURRENT_SETTING('threads') FROM staff"),
    ("UPDATE in a WITH", "names", Stage.FLAWED, "WITH u AS (UPDATE staff SET salary = 1 RETURNING name) SELECT name FROM u"),
    ("INSERT in a WITH", "names", Stage.FLAWED, "WITH i AS (INSERT INTO team VALUES (9, 'x') RETURNING name) SELECT name FROM i"),
    ("COPY", "names", Stage.INVALID, "COPY staff TO 'halo_attack.db'"),
    ("ATTACH", "names", Stage.FLAWED, f"ATTACH 'halo_attack.db' AS a;\n{_RIGHT}"),
    ("INSTALL", "names", Stage.INVALID, "INSTALL httpfs"),
    ("SET", "names", Stage.FLAWED, f"SET threads = 8;\n{_RIGHT}"),
    ("DESCRIBE", "names", Stage.INVALID, "DESCRIBE staff"),
    ("DESCRIBE in a subquery", "names", Stage.FLAWED, "SELECT column_name FROM (DESCRIBE staff)"),
    ("bool for an integer", "count", Stage.WRONG, "SELECT COUNT(*) > 3 FROM staff WHERE salary > 60"),
    ("decimal for an integer", "count", Stage.WRONG, "SELECT CAST(COUNT(*) AS DECIMAL(9, 1)) FROM staff WHERE salary > 60"),
    ("decimal for a float", "rates", Stage.WRONG, "SELECT CAST(SUM(rate) AS DECIMAL(9, 1)) FROM staff"),
    ("list of rows", "names", Stage.WRONG, "SELECT LIST(name) FROM staff WHERE salary > 60"),
    ("struct for a text", "names", Stage.WRONG, "SELECT {'n': name} FROM staff WHERE salary > 60"),
    ("struct that looks like a blob", "names", Stage.WRONG, "SELECT {'blob': '00'} FROM staff WHERE salary > 60"),
    ("NaN", "rates", Stage.WRONG, "SELECT SUM(rate) * 'NaN'::DOUBLE FROM staff"),
    ("NULL as NaN", "notes", Stage.WRONG, "SELECT 'NaN'::DOUBLE FROM staff"),
    ("long text", "names", Stage.CRASHED, "SELECT REPEAT(name, 100000000) FROM staff"),
    ("long list", "names", Stage.CRASHED, "SELECT RANGE(100000000) FROM staff"),
    ("division by zero", "count", Stage.CRASHED, "SELECT CAST('x' AS INTEGER) FROM staff"),
)  # fmt: skip


POSTGRESQL: tuple[_Case, ...] = (
    ("random", "count", Stage.FLAWED, "SELECT CAST(RANDOM() * 6 AS BIGINT) FROM staff LIMIT 1"),
    ("sample", "names", Stage.FLAWED, "SELECT name FROM staff TABLESAMPLE SYSTEM (50)"),
    ("the time", "names", Stage.FLAWED, f"{_RIGHT} AND NOW() > TIMESTAMP '2000-01-01'"),
    ("the date", "names", Stage.FLAWED, f"{_RIGHT} AND CURRENT_DATE > DATE '2000-01-01'"),
    ("the time as a text", "names", Stage.FLAWED, f"{_RIGHT} AND ' Now '::timestamp > '2000-01-01'"),
    ("a time today", "names", Stage.FLAWED, f"{_RIGHT} AND 'today 04:05'::timestamp > '2000-01-01'"),
    ("a time tomorrow", "names", Stage.FLAWED, f"{_RIGHT} AND DATE 'tomorrow allballs' > '2000-01-01'"),
    ("age", "names", Stage.FLAWED, f"{_RIGHT} AND AGE(TIMESTAMP '2000-01-01') > INTERVAL '1 day'"),
    ("clock", "names", Stage.FLAWED, f"{_RIGHT} AND pg_catalog.clock_timestamp() IS NOT NULL"),
    ("user", "names", Stage.FLAWED, f"{_RIGHT} AND CURRENT_USER <> ''"),
    ("sleep", "names", Stage.FLAWED, f"{_RIGHT} AND pg_sleep(60) IS NOT NULL"),
    ("file", "names", Stage.FLAWED, "SELECT pg_read_file('/etc/passwd') FROM staff"),
    ("directory", "names", Stage.FLAWED, "SELECT pg_ls_dir('/') FROM staff"),
    ("large object", "count", Stage.FLAWED, "SELECT lo_import('/etc/passwd') FROM staff"),
    ("tables", "names", Stage.FLAWED, "SELECT tablename FROM pg_tables"),
    ("catalogue", "names", Stage.FLAWED, "SELECT relname FROM pg_catalog.pg_class"),
    ("schema", "names", Stage.FLAWED, "SELECT table_name FROM information_schema.tables"),
    ("queries of other sessions", "names", Stage.FLAWED, "SELECT query FROM pg_stat_activity"),
    ("catalogue shadowed by a WITH", "names", Stage.FLAWED, "SELECT usename FROM pg_user, (WITH pg_user AS (SELECT 1) SELECT 1) x"),
    ("setting", "names", Stage.FLAWED, "SELECT current_setting('port') FROM staff"),
    ("setting of the time limit", "names", Stage.FLAWED, "SELECT set_config('statement_timeout', '0', false) FROM staff"),
    ("version", "names", Stage.FLAWED, "SELECT VERSION() FROM staff"),
    ("transaction", "names", Stage.FLAWED, "SELECT txid_current() FROM staff"),
    ("sequence", "count", Stage.FLAWED, "SELECT nextval('s') FROM staff"),
    ("lock", "names", Stage.FLAWED, f"{_RIGHT} AND pg_advisory_lock(1) IS NULL"),
    ("terminate other sessions", "names", Stage.FLAWED, "SELECT pg_terminate_backend(id) FROM staff"),
    ("query as text", "names", Stage.FLAWED, "SELECT query_to_xml('SELECT 1', true, true, '') FROM staff"),
    ("function of another schema", "names", Stage.FLAWED, "SELECT public.f(name) FROM staff"),
    ("dblink", "names", Stage.FLAWED, "SELECT * FROM dblink('host=localhost', 'SELECT 1') AS t(a INTEGER)"),
    ("name of a table", "names", Stage.FLAWED, "SELECT 'staff'::regclass FROM staff"),
    ("SELECT INTO", "names", Stage.FLAWED, "SELECT name INTO other FROM staff"),
    ("FOR UPDATE", "names", Stage.FLAWED, f"{_RIGHT} FOR UPDATE"),
    ("UPDATE in a WITH", "names", Stage.FLAWED, "WITH u AS (UPDATE staff SET salary = 1 RETURNING name) SELECT name FROM u"),
    ("INSERT in a WITH", "names", Stage.FLAWED, "WITH i AS (INSERT INTO team VALUES (9, 'x') RETURNING name) SELECT name FROM i"),
    ("COPY", "names", Stage.INVALID, "COPY staff TO PROGRAM 'cat > halo_attack'"),
    ("DO", "names", Stage.INVALID, "DO $$ BEGIN DELETE FROM staff; END $$"),
    ("SET ROLE", "names", Stage.FLAWED, f"RESET ROLE;\n{_RIGHT}"),
    ("COMMIT", "names", Stage.FLAWED, f"COMMIT;\n{_RIGHT}"),
    ("ROLLBACK", "names", Stage.FLAWED, f"{_RIGHT};\nROLLBACK"),
    ("bool for an integer", "count", Stage.WRONG, "SELECT COUNT(*) > 3 FROM staff WHERE salary > 60"),
    ("numeric for an integer", "count", Stage.WRONG, "SELECT COUNT(*)::numeric FROM staff WHERE salary > 60"),
    ("numeric for a float", "rates", Stage.WRONG, "SELECT SUM(rate)::numeric FROM staff"),
    ("JSON for a text", "names", Stage.WRONG, "SELECT to_json(name) FROM staff WHERE salary > 60"),
    ("JSON for an integer", "count", Stage.WRONG, "SELECT to_json(COUNT(*)) FROM staff WHERE salary > 60"),
    ("padded text", "names", Stage.WRONG, "SELECT name::char(9) FROM staff WHERE salary > 60"),
    ("array of rows", "names", Stage.WRONG, "SELECT array_agg(name) FROM staff WHERE salary > 60"),
    ("record for a text", "names", Stage.WRONG, "SELECT ROW(name) FROM staff WHERE salary > 60"),
    ("NaN", "rates", Stage.WRONG, "SELECT SUM(rate) * 'NaN'::float8 FROM staff"),
    ("long text", "names", Stage.CRASHED, "SELECT REPEAT(name, 100000000) FROM staff"),
    ("many rows without columns", "names", Stage.CRASHED, "SELECT FROM staff, generate_series(1, 100000)"),
    ("division by zero", "count", Stage.CRASHED, "SELECT 1 / (id - id) FROM staff"),
    ("invalid number", "count", Stage.CRASHED, "SELECT name::integer FROM staff"),
)  # fmt: skip

_SPECIFIC = {"sqlite": SQLITE, "duckdb": DUCKDB, "postgresql": POSTGRESQL}


def attacks(dialect: str) -> list[Attack]:
    """Return the attacks on one dialect, each with its prompt. A dialect's case replaces a common one by name."""
    prompts = {name: _prompt(name, *question) for name, question in _QUESTIONS.items()}
    specific = _SPECIFIC[dialect]
    replaced = {case[0] for case in specific}
    cases: Iterable[_Case] = (*(case for case in COMMON if case[0] not in replaced), *specific)
    return [Attack(name, prompts[question], text, stage) for name, question, stage, text in cases]


def _prompt(name: str, text: str, query: str) -> Prompt:
    reference = {"schema": _SCHEMA, "rows": _ROWS, "query": query}
    return Prompt(f"attack-{name}", text, reference=reference)
