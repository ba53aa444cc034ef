import pytest

from halo_core.testing import VerifierContract
from halo_core.types import Completion, Prompt
from halo_verifier_sql import SQL


class TestSQL(VerifierContract):
    @pytest.fixture
    def verifier(self) -> SQL:
        return SQL(rtol=1e-9)

    @pytest.fixture
    def prompt(self) -> Prompt:
        reference = {
            "schema": "CREATE TABLE t (a INTEGER, b TEXT)",
            "rows": {"t": [[1, "x"], [2, "y"], [3, "x"]]},
            "query": "SELECT b, SUM(a) FROM t GROUP BY b",
        }
        return Prompt("sums", "The sum of a for each b.", reference=reference)

    @pytest.fixture
    def good(self) -> str:
        return "```sql\nSELECT t.b, SUM(t.a) AS total FROM t GROUP BY t.b ORDER BY total;\n```"

    @pytest.fixture
    def bad(self) -> str:
        return "SELECT b, COUNT(a) FROM t GROUP BY b"


def test_extracted_part_is_the_query() -> None:
    found = SQL().extracted(Prompt("p"), Completion("p", 0, "So:\n```sql\nSELECT 1;\n```\nDone."))
    assert found is not None
    assert found.strip().rstrip(";") == "SELECT 1"
    assert SQL().extracted(Prompt("p"), Completion("p", 0, "")) is None
