"""CITATION.cff: valid CFF 1.2, for this version and with the facts of the package."""

import re
import tomllib

import pytest
import yaml

from gmmquant import __version__

# Keys of CFF 1.2.0: those that are required, and the others that a software project may have.
REQUIRED = {"cff-version", "message", "title", "authors"}
OPTIONAL = {
    "abstract",
    "commit",
    "contact",
    "date-released",
    "doi",
    "identifiers",
    "keywords",
    "license",
    "license-url",
    "preferred-citation",
    "references",
    "repository",
    "repository-artifact",
    "repository-code",
    "type",
    "url",
    "version",
}


@pytest.fixture(scope="module")
def citation(project):
    # Every value as text: a version such as 1.10 is no number.
    return yaml.load((project / "CITATION.cff").read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


def test_the_citation_has_the_keys_of_its_format(citation):
    assert citation["cff-version"] == "1.2.0"
    assert citation.keys() >= REQUIRED
    assert citation.keys() <= REQUIRED | OPTIONAL
    assert citation["type"] in ("software", "dataset")
    for key in citation.keys() - {"authors", "keywords"}:
        assert isinstance(citation[key], str)
        assert citation[key].strip()
    assert len(set(citation["keywords"])) == len(citation["keywords"])


def test_the_author_is_an_entity(citation):
    assert citation["authors"] == [{"name": "The gmmquant developers"}]


def test_the_citation_is_that_of_this_version_and_package(citation, project):
    package = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["version"] == __version__
    assert citation["title"] == package["name"]
    assert citation["license"] == package["license"]
    assert citation["keywords"] == package["keywords"]
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", citation["version"])


def test_the_version_is_that_of_the_latest_changes_and_of_the_readme(project):
    changes = (project / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## (\S+)(?: \((?:unreleased|\d{4}-\d\d-\d\d)\))?$", changes, flags=re.MULTILINE)
    assert versions[0] == __version__
    assert len(versions) == changes.count("\n## ")
    (cited,) = re.findall(r"\*gmmquant\*, version (\S+)\.\s", (project / "README.md").read_text(encoding="utf-8"))
    assert cited == __version__
