"""The sample: labelled XML to prompt and completion; the archive itself is replaced by a small
one."""

import json
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from tunesmith.data import names_sample
from tunesmith.data.names_sample import (
    convert_label_to_key,
    fetch_names_sample,
    parse_labeled_names,
)

PERSONS = b"""<NameCollection>
  <Name><GivenName>Edwin</GivenName> <MiddleInitial>B</MiddleInitial> <Surname>Frost,</Surname>
    <SuffixGenerational>V</SuffixGenerational></Name>
  <Name><GivenName>VALERY</GivenName>
  </Name>
  <Name><Surname>de</Surname> <Surname>la Cruz</Surname> <And>&amp;</And> <Surname>Lee</Surname></Name>
</NameCollection>"""  # noqa: E501
COMPANIES = b"""<NameCollection>
  <Name><CorporationName>swidler</CorporationName> <CorporationName>spanola</CorporationName>
    <CorporationLegalType>llc</CorporationLegalType></Name>
  <Name><AKA>aka</AKA> <CorporationNameBranchType>branch</CorporationNameBranchType></Name>
</NameCollection>"""


def test_persons_and_companies_become_questions_with_their_answers() -> None:
    rows = [(row["prompt"], row["completion"]) for row in parse_labeled_names("person", PERSONS)]
    assert rows[0] == (
        "Edwin B Frost, V",
        (
            '{"type": "person", "given_name": "Edwin", "middle_initial": "B", "surname": "Frost,", '
            '"suffix_generational": "V"}'
        ),
    )
    assert rows[1] == ("VALERY", '{"type": "person", "given_name": "VALERY"}')
    assert json.loads(rows[2][1]) == {"type": "person", "surname": "de la Cruz Lee", "and": "&"}
    companies = [json.loads(row["completion"]) for row in parse_labeled_names("company", COMPANIES)]
    assert companies == [
        {"type": "company", "name": "swidler spanola", "legal_type": "llc"},
        {"type": "company", "aka": "aka", "branch_type": "branch"},
    ]


@pytest.mark.parametrize(
    ("label", "key"),
    [
        ("GivenName", "given_name"),
        ("AKA", "aka"),
        ("And", "and"),
        ("CorporationName", "name"),
        ("CorporationNameOrganization", "organization"),
        ("CorporationNameAndCompany", "and_company"),
        ("CorporationNameBranchIdentifier", "branch_identifier"),
        ("CorporationLegalType", "legal_type"),
        ("CorporationCommitteeType", "committee_type"),
        ("ProxyFor", "proxy_for"),
    ],
)
def test_keys(label: str, key: str) -> None:
    assert convert_label_to_key(label) == key


def test_the_sample_is_made_once_in_file_order_with_its_licence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Path] = []

    def fetch(requirement: str, sha256: str, *, source_archive: bool, folder: Path) -> Path:
        calls.append(folder)
        assert (requirement, sha256, source_archive) == (
            names_sample.REQUIREMENT,
            names_sample.SHA256,
            True,
        )
        path = folder / "archive.tar.gz"
        files = {
            names_sample.MEMBERS["person"]: PERSONS,
            names_sample.MEMBERS["company"]: COMPANIES,
        }
        with tarfile.open(path, "w:gz") as archive:
            for name, content in {**files, names_sample.LICENSE_MEMBER: b"The MIT License"}.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, BytesIO(content))
        return path

    monkeypatch.setattr(names_sample, "fetch_package_file", fetch)
    path = fetch_names_sample(tmp_path)
    assert path == fetch_names_sample(tmp_path) and len(calls) == 1
    kinds = [
        json.loads(json.loads(line)["completion"])["type"] for line in path.read_text().splitlines()
    ]
    assert kinds == ["person"] * 3 + ["company"] * 2
    assert "MIT" in (path.parent / "names.LICENCE.txt").read_text()
    assert {p.name for p in path.parent.iterdir()} == {"names.jsonl", "names.LICENCE.txt"}
