"""`environment.*`: installed files against their hashes, requirements against what is installed, and the report of both."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import pytest

from jobs._environment_files import NotInstalled
from jobs._environment_requirements import Installed, examined
from jobs.environment import check_entry_points, check_files, check_requirements, distributions, write_report


def install(
    folder: Path, name: str = "fake", version: str = "1.0", requires: tuple[str, ...] = (), editable: bool = False
) -> dict[str, str]:
    """A distribution as pip would leave it: a package of two files, byte code, and a RECORD."""
    info = folder / f"{name}-{version}.dist-info"
    (folder / name / "__pycache__").mkdir(parents=True)
    info.mkdir()
    needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
    files = {f"{name}/__init__.py": b"one = 1\n", f"{name}/data.bin": bytes(range(256)) * 40}
    files[f"{info.name}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}".encode()
    if editable:
        files[f"{info.name}/direct_url.json"] = b'{"url": "file:///src", "dir_info": {"editable": true}}'
    lines = []
    for path, content in files.items():
        (folder / path).write_bytes(content)
        digest = urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(content)}")
    lines += [f"{name}/__pycache__/__init__.cpython-311.pyc,,", f"{info.name}/RECORD,,"]
    (info / "RECORD").write_text("\n".join(lines) + "\n")
    return {"name": name, "version": version, "at": str(folder)}


def test_an_untouched_distribution_is_sound(tmp_path: Path) -> None:
    result = check_files(install(tmp_path))

    assert result["state"] == "sound"
    assert (result["files"], result["checked"], result["unhashed"]) == (5, 3, 1)
    assert result["bytes"] > 10_000


def test_changed_and_missing_files_are_named(tmp_path: Path) -> None:
    row = install(tmp_path)
    (tmp_path / "fake" / "__init__.py").write_text("one = 2\n")
    (tmp_path / "fake" / "data.bin").unlink()

    result = check_files(row)

    assert result["state"] == "damaged"
    assert (result["changed"], result["missing"]) == (["fake/__init__.py"], ["fake/data.bin"])


def test_of_very_many_damaged_files_twenty_are_named_and_all_are_counted(tmp_path: Path) -> None:
    row = install(tmp_path)
    record = tmp_path / "fake-1.0.dist-info" / "RECORD"
    record.write_text(record.read_text() + "".join(f"fake/gone{n}.py,sha256=AAAA,1\n" for n in range(500)))

    result = check_files(row)

    assert (len(result["missing"]), result["missing_count"]) == (20, 500)
    assert len(json.dumps(result)) < 2000


def test_a_file_above_the_limit_is_counted_and_not_read(tmp_path: Path) -> None:
    row = install(tmp_path)
    (tmp_path / "fake" / "data.bin").write_bytes(b"x" * 5000)

    result = check_files(row, largest=1000)

    assert result["state"] == "sound"
    assert result["large"] == 1
    assert "1 files are larger than 1,000 bytes and were not read" in result["notes"]


def test_an_editable_installation_and_one_without_a_record_are_no_errors(tmp_path: Path) -> None:
    editable = install(tmp_path, "linked", editable=True)
    bare = install(tmp_path, "bare")
    (tmp_path / "bare-1.0.dist-info" / "RECORD").unlink()

    assert check_files(editable)["state"] == "editable"
    assert check_files(bare)["state"] == "unrecorded"


def test_a_hash_of_an_unknown_kind_is_a_note(tmp_path: Path) -> None:
    row = install(tmp_path)
    record = tmp_path / "fake-1.0.dist-info" / "RECORD"
    record.write_text(record.read_text().replace("sha256=", "xyz=", 1))

    assert check_files(row)["notes"] == ["fake/__init__.py: unknown hash 'xyz'"]


def test_a_distribution_that_was_removed_meanwhile_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotInstalled, match=r"gone is not installed in .* any more"):
        check_files({"name": "gone", "version": "1", "at": str(tmp_path)})


def test_only_the_first_of_two_installations_counts_as_it_does_for_an_import(tmp_path: Path) -> None:
    install(tmp_path / "a", "fake_name", "2.0")
    install(tmp_path / "b", "fake-name", "1.0")
    (tmp_path / "b" / "broken.dist-info").mkdir()

    found = distributions([str(tmp_path / "a"), str(tmp_path / "b")])

    assert found == [{"name": "fake_name", "version": "2.0", "at": str(tmp_path / "a")}]


def audit(*installed: Installed) -> dict[str, Any]:
    return examined(installed)


def test_a_missing_and_an_unfitting_requirement_are_told() -> None:
    result = audit(
        Installed("app", "1", ("lib>=2", "gone[x]~=3.0", "Lib_Two")), Installed("lib", "1.9"), Installed("lib-two", "1")
    )

    assert result["missing"] == [{"by": "app", "needs": "gone[x]~=3.0"}]
    assert result["conflicts"] == [{"by": "app", "needs": "lib>=2", "installed": "1.9"}]
    assert result["edges"] == [("app", "lib"), ("app", "lib-two")]


def test_markers_and_extras_are_respected_through_several_steps() -> None:
    app = Installed("app", "1", ("web[fast]", "windows-only; sys_platform == 'win32'", "tests; extra == 'test'"))
    web = Installed("web", "1", ("web[tls]; extra == 'fast'", "crypto>=40; extra == 'tls'", "never; extra == 'other'"))

    result = audit(app, web)

    assert result["missing"] == [{"by": "web", "needs": "crypto>=40"}]


def test_a_prerelease_that_is_installed_counts() -> None:
    assert audit(Installed("app", "1", ("lib>=2",)), Installed("lib", "3.0b1"))["conflicts"] == []


def test_a_circle_is_named_by_its_shortest_way_round() -> None:
    result = audit(Installed("a", "1", ("b",)), Installed("b", "1", ("c", "a")), Installed("c", "1", ("a",)))

    assert result["cycles"] == [["a", "b", "a"]]


def test_what_cannot_be_read_is_a_note_and_stops_nothing() -> None:
    result = audit(Installed("app", "1", ("!!!", "lib>1")), Installed("lib", "not a version"))

    assert result["missing"] == result["conflicts"] == []
    assert len(result["notes"]) == 2


def test_an_entry_point_whose_module_is_gone_is_named_and_nothing_is_imported(tmp_path: Path) -> None:
    row = install(tmp_path)
    (tmp_path / "fake" / "__init__.py").write_text("raise SystemExit('imported')\n")
    lines = "[console_scripts]\nfake = fake:main\nbroken = fake.gone:main\npy = json.tool:main\n"
    (tmp_path / "fake-1.0.dist-info" / "entry_points.txt").write_text(lines)

    result = check_entry_points(row)

    assert result == {"name": "fake", "entry_points": 3, "broken": ["console_scripts: broken = fake.gone:main"]}


def test_the_report_is_one_page_without_any_address_to_load_from(tmp_path: Path) -> None:
    rows = [
        install(tmp_path, "app", requires=("lib>=2", "<script>")),
        install(tmp_path, "lib", "1.0"),
        install(tmp_path, "alone"),
    ]
    (tmp_path / "lib" / "__init__.py").write_text("changed")
    files = json.loads(json.dumps([check_files(row) for row in rows]))
    requirements = json.loads(json.dumps(check_requirements(rows)))
    entry_points = json.loads(json.dumps([check_entry_points(row) for row in rows]))

    result = write_report(files, requirements, entry_points, folder=str(tmp_path / "reports"))

    page = Path(result["report"]).read_text()
    assert result["verdict"] == "2 problems"
    assert not result["sound"]
    assert json.loads(Path(result["summary"]).read_text())["damaged"] == ["lib"]
    assert "<b>app</b> needs lib&gt;=2; installed is 1.0" in page
    assert "changed: lib/__init__.py" in page
    assert "&#x27;&lt;script&gt;&#x27;" in page
    assert not any(word in page for word in ("http://", "https://", "src=", "@import", "url("))
    assert [path.name for path in sorted((tmp_path / "reports").iterdir())] == [
        "environment-audit.html",
        "environment-audit.json",
    ]


def test_the_default_folder_is_reports_in_the_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKBEAT_HOME", str(tmp_path / "state"))

    result = write_report([], check_requirements([]), [])

    assert result["report"] == str(tmp_path / "state" / "reports" / "environment-audit.html")
    assert result["sound"]


def test_this_very_environment_can_be_audited() -> None:
    found = distributions()

    assert len(found) > 60
    assert check_files(next(row for row in found if row["name"] == "networkx"))["state"] == "sound"
    assert check_requirements(found)["edges"]
