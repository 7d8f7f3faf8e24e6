"""Paths and URLs: their parts, texts and identities."""

import os
import pickle
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmmquant.errors import ParameterError
from gmmquant.system.paths import RemotePath, common_folder, identity, parse_path, relative

WORDS = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1, max_size=8)
HOSTS = st.from_regex(r"[a-z][a-z0-9.-]{0,8}", fullmatch=True)
URLS = st.one_of(
    st.builds(lambda host, words: "/".join([f"s3://{host}", *words]), HOSTS, st.lists(WORDS, max_size=4)),
    st.builds(
        lambda user, host, port, words: "/".join([f"sftp://{user}@{host}:{port}", *words]),
        HOSTS,
        HOSTS,
        st.integers(1, 65535),
        st.lists(WORDS, max_size=4),
    ),
    st.builds(lambda words: "memory://" + "/".join(words), st.lists(WORDS, max_size=4)),
)


@pytest.fixture(autouse=True, scope="module")
def _schemes():
    """Accept all schemes, whichever packages are installed: nothing is read."""
    registry = pytest.importorskip("fsspec.registry")
    with pytest.MonkeyPatch.context() as patch:
        for scheme in ("s3", "s3a", "sftp", "ssh", "https"):
            patch.setitem(registry._registry, scheme, registry.get_filesystem_class("memory"))
        yield


@given(URLS)
def test_the_text_of_a_url_is_a_url_of_the_same_path(url):
    typed = parse_path(url)
    assert str(typed) == url
    assert parse_path(str(typed)) == typed == parse_path(typed)
    assert hash(parse_path(str(typed))) == hash(typed)
    assert pickle.loads(pickle.dumps(typed)) == typed


@given(URLS, WORDS)
def test_the_parts_of_a_name_are_those_of_a_path(url, name):
    folder = parse_path(url)
    inside, like = folder / name, PurePosixPath("/folder") / name
    assert inside.parent == folder
    if name not in (".", ".."):  # which paths do not keep as they are
        assert (inside.name, inside.stem, inside.suffix) == (like.name, like.stem, like.suffix)


@given(st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: "://" not in text and "\0" not in text))
def test_text_without_a_scheme_is_a_local_path(text):
    assert parse_path(text) == Path(text) == parse_path(Path(text))


def test_a_bucket_or_server_has_no_name_and_is_its_own_parent():
    for url in ("s3://bucket", "sftp://host", "memory://"):
        root = parse_path(url + "/")
        assert (root.name, root.stem, root.suffix) == ("", "", "")
        assert root.parent == root == parse_path(url)


def test_a_folder_is_the_same_with_and_without_a_slash_at_its_end():
    assert parse_path("s3://bucket/a/") == parse_path("s3://bucket/a")
    assert parse_path("memory:///a") == parse_path("memory://a/") == parse_path("MEMORY://a")


def test_a_file_url_is_a_local_path():
    assert parse_path("file:///tmp/a%20b") == parse_path("local:///tmp/a%20b") == Path("/tmp/a%20b")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("s4://bucket/x", r"unknown scheme s4://.*write \./s4://"),
        ("s3://", "has nothing after the scheme"),
        ("file://", "unknown|has nothing after the scheme"),
        ("sftp:///x", None),
        ("sftp://me:pass/word@host/x", "cannot be distinguished"),
        ("sftp://me:pass#word@host/x", "cannot be distinguished"),
        ("sftp://me:12?pass@host/x", "cannot be distinguished"),
        ("sftp://host:99999/x", "cannot be distinguished"),
        ("data:image/png;base64,iVBORw0KGgo=", "data: URLs are not read; decode it"),
    ],
)
def test_an_incomplete_url_is_refused_in_one_line(text, reason):
    if reason is None:
        assert parse_path(text).path == "/x"
        return
    with pytest.raises(ParameterError, match=reason) as caught:
        parse_path(text)
    assert "\n" not in str(caught.value)
    assert "pass" not in str(caught.value).partition(";")[0].replace("password", "")


def test_a_file_whose_name_looks_like_a_url_is_typed_with_its_folder():
    assert parse_path("./s3://bucket/x") == Path("s3:/bucket/x")


def test_a_scheme_whose_package_is_missing_names_the_package():
    with pytest.raises(ParameterError, match="ocifs"):
        parse_path("oci://bucket/x")


def test_without_fsspec_the_error_names_the_extra_and_local_paths_work():
    code = (
        "import sys; sys.modules['fsspec'] = None\n"
        "from gmmquant.system.paths import parse_path, ParameterError\n"
        "print(parse_path('a/b'))\n"
        "try: parse_path('s3://bucket/x')\n"
        "except ParameterError as error: print(error)\n"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.startswith("a/b\n")
    assert "gmmquant[cluster]" in printed


def test_importing_the_package_does_not_import_fsspec():
    modules = "gmmquant.system.paths, gmmquant.system.filesystem, gmmquant.system.atomic"
    code = f"import sys, {modules}; print('fsspec' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_password_is_never_shown_but_kept():
    typed = parse_path("sftp://me:geheim@host:22/a/b.png")
    for text in (str(typed), repr(typed), f"{typed}", str([typed]), str(typed.parent), relative(typed, Path("/"))):
        assert "geheim" not in text
        assert "me@host:22" in text
    assert "geheim" in pickle.loads(pickle.dumps(typed / "c")).root
    key = parse_path("https://host/cat.jpg?Signature=geheim")
    assert (key.name, str(key)) == ("cat.jpg", "https://host/cat.jpg")
    assert key.secrets == ("Signature=geheim",)


def test_no_system_call_takes_a_url_for_a_path():
    with pytest.raises(TypeError):
        os.fspath(parse_path("memory://a"))


def test_urls_are_in_the_order_of_their_parts():
    assert sorted(map(parse_path, ["s3://b/b", "s3://b/a", "memory://z"])) == list(
        map(parse_path, ["memory://z", "s3://b/a", "s3://b/b"])
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a/b", "./a/../a/b"),
        ("file:///tmp/x", "/tmp/x"),
        ("s3://b/x", "s3a://b/x"),
        ("sftp://me:one@host/a", "ssh://you@HOST/b/../a"),
        ("memory://a", "memory:///a/"),
    ],
)
def test_two_names_of_one_path_have_the_same_identity(one, other):
    assert identity(parse_path(one)) == identity(parse_path(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a", "b"),
        ("s3://b/x", "s3://b/X"),
        ("s3://b/a//x", "s3://b/a/x"),
        ("s3://b/a/../x", "s3://b/x"),
        ("sftp://host:22/a", "sftp://host:23/a"),
        ("https://host/a?x=1", "https://host/a?x=2"),
        ("s3://b/x", "memory://b/x"),
    ],
)
def test_different_paths_have_different_identities(one, other):
    assert identity(parse_path(one)) != identity(parse_path(other))


@pytest.mark.parametrize(
    ("path", "folder", "expected"),
    [
        ("s3://b/in/cat.jpg", "s3://b/out", "../in/cat.jpg"),
        ("s3://b/cat.jpg", "s3://b", "cat.jpg"),
        ("memory://in/cat.jpg", "memory://in", "cat.jpg"),
        ("sftp://me:geheim@h/a/b", "sftp://h/a", "b"),
        ("s3://b/cat.jpg", "s3://c", "s3://b/cat.jpg"),
        ("s3://b/a//cat.jpg", "s3://b", "s3://b/a//cat.jpg"),
        ("sftp://me:geheim@h/a", "/tmp", "sftp://me@h/a"),
        ("/tmp/cat.jpg", "s3://b", os.path.realpath("/tmp") + "/cat.jpg"),
    ],
)
def test_a_path_is_relative_to_a_folder_or_in_full(path, folder, expected):
    assert relative(parse_path(path), parse_path(folder)) == expected


def test_relative_resolves_links_and_escapes_bytes_that_are_not_utf8(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert relative(tmp_path / "link" / os.fsdecode(b"a\xff"), tmp_path / "real") == "a\\xff"
    assert relative(RemotePath("s3", "b", "/" + os.fsdecode(b"a\xff")), tmp_path) == "s3://b/a\\xff"


def test_the_common_folder_is_absolute_if_all_folders_are(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert common_folder([tmp_path / "out" / "a", tmp_path / "out" / "b"]) == tmp_path / "out"
    assert common_folder([Path("../out/a"), tmp_path / "out" / "b"]) == Path("../out")
