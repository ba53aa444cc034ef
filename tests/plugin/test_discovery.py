from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PathDistribution, version
from pathlib import Path

import pytest

from halo_core.config.kinds import KINDS, PACKAGES
from halo_core.drivers import LRPolicy, Reward, Verifier
from halo_core.errors import PluginError
from halo_core.plugin.discovery import available, load
from halo_core.plugin.driver_checks import check_class

VERIFIER_CODE = """
from halo_core.drivers import Verifier, driver
from halo_core.types import Stage, Status, Verdict

@driver
class Mine(Verifier):
    level: int = 1
    def check(self, prompt, completion):
        return Verdict(Status.PASS, Stage.CORRECT)
"""
Install = Callable[..., Path]


def test_a_driver_is_loaded_by_name_with_its_distribution_and_version(install: Install) -> None:
    install(
        "acme-verifier",
        "1.2",
        {"halo.verifiers": "acme = acme_verifier:Mine"},
        {"acme_verifier": VERIFIER_CODE},
    )
    loaded = load("verifier", "acme")
    assert check_class(loaded, Verifier) is sys.modules["acme_verifier"].Mine
    assert str(loaded.source) == "verifier 'acme' (acme-verifier 1.2)"
    assert loaded.source.target == "acme_verifier:Mine"


def test_listing_imports_nothing(install: Install) -> None:
    site = install(
        "acme-bomb",
        "3.0",
        {"halo.verifiers": "bomb = acme_bomb:Mine"},
        {"acme_bomb": "raise SystemExit('imported')"},
    )
    found = [source for source in available("verifier") if source.name == "bomb"]
    assert [(s.distribution, s.version) for s in found] == [("acme-bomb", "3.0")]
    assert "acme_bomb" not in sys.modules
    assert site.is_dir()


def test_listing_is_sorted_by_name(install: Install) -> None:
    install("acme-z", "1", {"halo.rewards": "zz = nowhere:Z\naa = nowhere:A"})
    names = [source.name for source in available("reward")]
    assert names == sorted(names)
    assert {"aa", "zz", "graduated", "binary", "fraction"} <= set(names)


def test_a_package_installed_after_the_first_listing_is_seen(install: Install) -> None:
    available("verifier")
    install("acme-late", "1", {"halo.verifiers": "late = acme_late:Mine"}, {"acme_late": VERIFIER_CODE})
    assert load("verifier", "late").source.distribution == "acme-late"


def test_a_change_of_what_is_installed_in_a_folder_is_seen(install: Install) -> None:
    def folder(version: str) -> Path:
        return site / f"acme_late-{version}.dist-info"

    site = install(
        "acme-late", "1", {"halo.verifiers": "late = acme_late:Mine"}, {"acme_late": VERIFIER_CODE}
    )
    assert load("verifier", "late").source.version == "1"
    (folder("1") / "METADATA").write_text("Name: acme-late\nVersion: 2\n")
    folder("1").rename(folder("2"))
    assert load("verifier", "late").source.version == "2"
    shutil.rmtree(folder("2"))
    with pytest.raises(PluginError, match="no verifier named 'late' is installed"):
        load("verifier", "late")


def test_entry_points_are_read_once(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("acme-verifier", "1.2", {"halo.verifiers": "acme = acme_verifier:Mine"})
    listed = available("verifier")
    monkeypatch.setattr(PathDistribution, "read_text", None)
    assert available("verifier") == listed
    assert available("reward")


def test_a_name_provided_by_two_distributions_is_an_error_that_names_both(install: Install) -> None:
    install("acme-one", "1", {"halo.verifiers": "twin = acme_one:Mine"}, {"acme_one": VERIFIER_CODE})
    install("acme-two", "2", {"halo.verifiers": "twin = acme_two:Mine"}, {"acme_two": VERIFIER_CODE})
    with pytest.raises(PluginError, match="verifier 'twin' is provided by acme-one and acme-two") as caught:
        load("verifier", "twin")
    assert caught.value.hint == "name one: acme-one:twin or acme-two:twin"
    assert not {"acme_one", "acme_two"} & set(sys.modules), "neither is imported"
    assert load("verifier", "acme-two:twin").source.version == "2"
    assert load("verifier", "acme-one:twin").source.version == "1"


def test_a_duplicate_name_does_not_affect_other_names(install: Install) -> None:
    install("acme-one", "1", {"halo.rewards": "twin = acme_one:Mine"})
    install("acme-two", "2", {"halo.rewards": "twin = acme_two:Mine"})
    assert load("reward", "graduated").value.__name__ == "Graduated"


def test_two_kinds_may_share_a_name(install: Install) -> None:
    install("acme-both", "1", {"halo.verifiers": "both = acme_both:Mine", "halo.rewards": "both = acme_both:Mine"},
            {"acme_both": VERIFIER_CODE})  # fmt: skip
    assert load("verifier", "both").source.kind == "verifier"


@pytest.mark.parametrize("name", ["acme-verifier:acme", "Acme_Verifier:acme", "acme.verifier:acme"])
def test_distribution_names_are_normalised_as_by_pip(install: Install, name: str) -> None:
    install(
        "acme-verifier",
        "1.2",
        {"halo.verifiers": "acme = acme_verifier:Mine"},
        {"acme_verifier": VERIFIER_CODE},
    )
    assert load("verifier", name).source.distribution == "acme-verifier"


def test_a_distribution_that_does_not_provide_the_name(install: Install) -> None:
    install("acme-verifier", "1.2", {"halo.verifiers": "acme = acme_verifier:Mine"})
    with pytest.raises(PluginError, match="no verifier named 'other:acme' is installed"):
        load("verifier", "other:acme")


def test_a_missing_package_of_this_project_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("halo_core.plugin.discovery.entry_points", lambda group: [])
    for (kind, name), package in PACKAGES.items():
        with pytest.raises(
            PluginError, match=f"no {kind.replace('_', ' ')} named '{name}' is installed"
        ) as caught:
            load(kind, name)
        assert caught.value.hint == f"pip install {package}"


def test_a_misspelt_name_gets_the_nearest_as_a_hint(install: Install) -> None:
    install("acme-verifier", "1.2", {"halo.verifiers": "acme = acme_verifier:Mine"})
    with pytest.raises(PluginError) as caught:
        load("verifier", "acne")
    assert caught.value.hint == "did you mean 'acme'?"


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_name_always_gets_a_hint(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PluginError) as caught:
        load(kind, "qqqqqq")
    assert caught.value.hint
    monkeypatch.setattr("halo_core.plugin.discovery.entry_points", lambda group: [])
    with pytest.raises(PluginError) as caught:
        load(kind, "qqqqqq")
    assert "package" in caught.value.hint
    assert ".py" in caught.value.hint


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("raise ValueError('bad day')", "ValueError: bad day"),
        ("assert False, 'never'", "AssertionError: never"),
        ("def broken(:", "SyntaxError"),
        ("Other = 1", "AttributeError"),
    ],
)
def test_a_plugin_that_cannot_be_imported_names_its_distribution(
    install: Install, code: str, message: str
) -> None:
    install("acme-broken", "0.1", {"halo.verifiers": "broken = acme_broken:Mine"}, {"acme_broken": code})
    with pytest.raises(PluginError) as caught:
        load("verifier", "broken")
    assert "verifier 'broken' (acme-broken 0.1) cannot be imported" in str(caught.value)
    assert message in str(caught.value)
    assert "acme-broken" in caught.value.hint
    assert caught.value.__cause__ is not None


def test_a_class_of_another_kind_is_rejected(install: Install) -> None:
    install(
        "acme-verifier",
        "1.2",
        {"halo.rewards": "acme = acme_verifier:Mine"},
        {"acme_verifier": VERIFIER_CODE},
    )
    with pytest.raises(PluginError, match=r"reward 'acme' \(acme-verifier 1.2\) is not a Reward") as caught:
        check_class(load("reward", "acme"), Reward)
    assert "Reward" in caught.value.hint


def test_a_class_in_a_file_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("from __future__ import annotations\n" + VERIFIER_CODE)
    loaded = load("verifier", f"{path}:Mine")
    assert check_class(loaded, Verifier)(level="3").level == 3
    assert loaded.source.name == "Mine"
    assert loaded.source.distribution == str(path)
    assert loaded.source.version.startswith("sha256:")


def test_an_edited_file_is_loaded_again_with_another_version(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(VERIFIER_CODE)
    before = load("verifier", f"{path}:Mine")
    path.write_text(VERIFIER_CODE.replace("level: int = 1", "level: int = 2"))
    after = load("verifier", f"{path}:Mine")
    assert (before.value().level, after.value().level) == (1, 2)
    assert before.source.version != after.source.version


def test_two_classes_of_one_file_share_its_module(tmp_path: Path) -> None:
    path = tmp_path / "both.py"
    path.write_text("state = []\nclass One:\n    shared = state\nclass Two:\n    shared = state\n")
    one, two = (load("plugin", f"{path}:{name}").value for name in ("One", "Two"))
    assert one.shared is two.shared


def test_a_whole_file_is_a_hook_plugin_but_not_a_driver(tmp_path: Path) -> None:
    path = tmp_path / "shape.py"
    path.write_text("x = 1")
    assert load("plugin", str(path)).value.x == 1
    with pytest.raises(PluginError, match="names no class") as caught:
        load("verifier", str(path))
    assert caught.value.hint == f"write {path}:ClassName"


def test_a_missing_file_or_class(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    with pytest.raises(PluginError, match="cannot be read: No such file or directory"):
        load("verifier", f"{path}:Mine")
    path.write_text(VERIFIER_CODE)
    with pytest.raises(PluginError, match="has no 'Mnie'") as caught:
        load("verifier", f"{path}:Mnie")
    assert caught.value.hint == "did you mean 'Mine'?"


@pytest.mark.parametrize(
    ("code", "place", "message"),
    [
        ("x = 1\ny = (\n", ":2", "SyntaxError"),
        ("x = 1\n\nraise KeyError('k')\n", ":3", "KeyError"),
        ("import no_such_module_at_all\n", ":1", "ModuleNotFoundError"),
        ("def f():\n    return 1 / 0\n\n\nf()\n", ":2", "ZeroDivisionError"),
    ],
)
def test_an_import_error_in_a_file_names_the_line(
    tmp_path: Path, code: str, place: str, message: str
) -> None:
    path = tmp_path / "torn.py"
    path.write_text(code)
    with pytest.raises(PluginError) as caught:
        load("plugin", str(path))
    assert f"plugin file {path}{place}: {message}" in str(caught.value)
    assert not [name for name in sys.modules if name.startswith("halo_file_torn")]


def test_files_with_equal_names_do_not_shadow_each_other(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shape.py").write_text("from pathlib import Path\nx = Path(__file__).parent.name")
    assert [load("plugin", str(tmp_path / name / "shape.py")).value.x for name in ("a", "b")] == ["a", "b"]


def test_a_learning_rate_policy_of_the_project_loads() -> None:
    assert issubclass(check_class(load("lr_policy", "exponential"), LRPolicy), LRPolicy)


def test_loading_one_driver_does_not_import_others(install: Install) -> None:
    site = install(
        "acme-two",
        "1",
        {"halo.verifiers": "good = acme_good:Mine\nbomb = acme_bomb:Mine"},
        {"acme_good": VERIFIER_CODE, "acme_bomb": "raise SystemExit"},
    )
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "from halo_core.plugin.discovery import load\n"
        "load('verifier', 'good')\n"
        "print([m for m in ('acme_good', 'acme_bomb', 'torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['acme_good']"


OWN = version("halo-core")


@pytest.mark.parametrize(
    "requires",
    [
        [],
        ["halo-core"],
        [f"halo-core=={OWN}"],
        [f"halo_core>={OWN},<9", "numpy>=99"],
        ['halo-core>=99; extra == "later"'],
        ["not a requirement ("],
    ],
    ids=str,
)
def test_a_distribution_whose_requirement_on_halo_holds_is_loaded(
    install: Install, requires: list[str]
) -> None:
    rows = {"halo.verifiers": "acme = acme_verifier:Mine"}
    install("acme-verifier", "1.2", rows, {"acme_verifier": VERIFIER_CODE}, requires)
    assert load("verifier", "acme").value.__name__ == "Mine"


@pytest.mark.parametrize("requirement", ["halo-core<0.1", "Halo.Core>=99", "halo-core~=99.0"])
def test_a_distribution_that_needs_another_halo_is_refused_before_it_is_imported(
    install: Install, requirement: str
) -> None:
    rows = {"halo.verifiers": "acme = acme_bomb:Mine"}
    install("acme-verifier", "1.2", rows, {"acme_bomb": "raise SystemExit"}, [requirement])
    with pytest.raises(PluginError) as caught:
        load("verifier", "acme")
    needed = requirement.replace("Halo.Core", "").replace("halo-core", "")
    assert str(caught.value) == (
        f"verifier 'acme' (acme-verifier 1.2) needs halo-core {needed}, and this is halo-core {OWN}"
    )
    assert "pip install --upgrade acme-verifier" in caught.value.hint


def test_a_helper_may_be_called_like_a_method_that_the_class_has(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(VERIFIER_CODE + "    def checks(self):\n        return 1\n")
    assert check_class(load("verifier", f"{path}:Mine"), Verifier)
