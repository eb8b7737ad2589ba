"""Settings: what they are by default, where they come from, and what a wrong one is told."""

import re
import tomllib
from datetime import timedelta
from ipaddress import ip_network
from itertools import pairwise
from pathlib import Path

import pytest

from core.policy import BucketPolicy, Reference, Versions
from core.settings import Settings, changed
from core.sources import SettingsError
from core.storage_settings import LocalStorage, S3Storage

EXAMPLE = Path(__file__).parents[2] / "config" / "davstore.toml"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A name for a configuration file that messages can repeat."""
    monkeypatch.chdir(tmp_path)
    return Path("davstore.toml")


def keys(table: object, above: str = "") -> set[str]:
    if not isinstance(table, dict):
        return {above}
    return {key for name, item in table.items() for key in keys(item, f"{above}.{name}")}


def test_the_example_file_is_the_defaults() -> None:
    assert Settings.load(EXAMPLE, {}) == Settings() == Settings.load(None, {})


def test_the_example_file_names_every_setting_and_no_other() -> None:
    assert keys(tomllib.loads(EXAMPLE.read_text())) == keys(Settings().described())


def test_the_example_has_a_storage_of_type_s3_with_its_defaults_to_uncomment() -> None:
    text = re.sub(r"^#(?=[a-z\[])", "", EXAMPLE.read_text(), flags=re.MULTILINE)

    written = tomllib.loads(text)["storages"]["s3main"]

    assert S3Storage.model_validate(written) == S3Storage(type="s3", bucket="davstore")
    assert set(written) == set(S3Storage.model_fields)
    bare = [line for above, line in pairwise(text.splitlines()) if " = " in line and not above.startswith("# ")]
    assert [line for line in bare if not line.startswith("# ")] == []


@pytest.mark.parametrize(
    ("written", "bucket", "region", "endpoint"),
    [
        ("bucket = 'mine'", "mine", "eu-central-1", "https://s3.example"),
        ("bucket = 'mine'\nregion = 'r'\nendpoint = false", "mine", "r", None),
        ("", "theirs", "eu-central-1", "https://s3.example"),
    ],
)
def test_the_environment_says_what_a_storage_does_not(
    file: Path, written: str, bucket: str, region: str, endpoint: str | None
) -> None:
    file.write_text(f"[storages.s3main]\ntype = 's3'\n{written}")
    environ = {
        "AWS_S3_BUCKET": "theirs",
        "AWS_S3_REGION": "eu-central-1",
        "AWS_S3_ENDPOINT": "https://s3.example/",
    }

    storage = Settings.load(file, environ).storages["s3main"]

    assert isinstance(storage, S3Storage)
    assert (storage.bucket, storage.region, storage.endpoint) == (bucket, region, endpoint)


@pytest.mark.parametrize(("written", "prefix"), [("", ""), ("a", "a/"), ("a/b/", "a/b/")])
def test_a_prefix_ends_with_one_slash(written: str, prefix: str) -> None:
    assert S3Storage(type="s3", bucket="media", prefix=written).prefix == prefix


def test_every_setting_in_the_example_has_its_sentence_above_it() -> None:
    lines = EXAMPLE.read_text().splitlines()

    bare = [line for above, line in pairwise(lines) if " = " in line and not above.startswith("# ")]

    assert [line for line in bare if not line.startswith("#")] == []


def test_what_is_described_loads_to_the_same_settings(file: Path) -> None:
    settings = Settings.load(
        None,
        {
            "DAVSTORE_BUCKETS__PHOTOS__TYPES": "image/*, video/*",
            "DAVSTORE_BUCKETS__PHOTOS__VERSIONS": "none",
            "DAVSTORE_BUCKETS__PHOTOS__QUOTA": "1.5 GiB",
            "DAVSTORE_BUCKETS__PHOTOS__TRASH": "off",
            "DAVSTORE_STORAGES__ROWS__TYPE": "db",
            "DAVSTORE_STORAGES__S3MAIN__TYPE": "s3",
            "DAVSTORE_STORAGES__S3MAIN__BUCKET": "media",
        },
        data="/srv/a b",
    )

    file.write_text(settings.as_toml())

    assert Settings.load(file, {}) == settings


def test_later_places_win(file: Path) -> None:
    file.write_text('data = "from-file"\n[server]\nhost = "file"\nport = 1\nworkers = 1\n[locks]\nmax_timeout = "2h"\n')
    environ = {"DAVSTORE_SERVER__PORT": "2", "DAVSTORE_SERVER__WORKERS": "2"}

    settings = Settings.load(file, environ, workers=3, data=None)

    assert (settings.server.host, settings.server.port, settings.server.workers) == ("file", 2, 3)
    assert (settings.data, settings.locks.max_timeout) == (Path("from-file"), timedelta(hours=2))


def test_the_environment_may_name_the_file(file: Path) -> None:
    file.write_text("[server]\nport = 1\n")

    assert Settings.load(None, {"DAVSTORE_CONFIG": str(file)}).server.port == 1


def test_everything_lies_below_the_data_directory() -> None:
    settings = Settings.load(None, {}, data="/srv/davstore")

    assert settings.database.url == "sqlite:////srv/davstore/davstore.db"
    assert settings.storages["local"] == LocalStorage(path=Path("/srv/davstore/blobs"))


def test_a_home_directory_may_be_written_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")

    settings = Settings.load(None, {"DAVSTORE_DATA": "~/drive"})

    assert settings.data == Path("/home/ann/drive")
    assert settings.storages["local"] == LocalStorage(path=Path("/home/ann/drive/blobs"))


def test_settings_of_a_bucket_leave_the_others_alone(file: Path) -> None:
    file.write_text('[buckets.photos]\nquota = "10 GB"\nversions = { keep = 3 }\n[buckets.files]\ntrash = false\n')

    buckets = Settings.load(file, {}).buckets

    assert buckets["photos"] == BucketPolicy(quota=10_000_000_000, versions=Versions(keep=3))
    assert buckets["files"] == BucketPolicy(trash=None)


def test_a_bucket_names_the_host_columns_that_keep_its_objects(file: Path) -> None:
    file.write_text('[[buckets.photos.references]]\ntable = "profile"\ncolumn = "photo_uid"\n')

    settings = Settings.load(file, {})

    assert settings.buckets["photos"].references == (Reference(table="profile", column="photo_uid"),)
    file.write_text(settings.as_toml())
    assert Settings.load(file, {}) == settings


def test_the_background_jobs_can_be_switched_off(file: Path) -> None:
    file.write_text("[collector]\nscrub = false\nsweep = false\nenabled = false\n")

    collector = Settings.load(file, {}).collector

    assert (collector.enabled, collector.sweep, collector.scrub) == (False, None, None)


def test_other_variables_of_ours_are_no_settings() -> None:
    assert (
        Settings.load(None, {"DAVSTORE_ADMIN_PASSWORD": "x", "DAVSTORE_SOAK": "1", "SERVER__PORT": "1"}) == Settings()
    )


def test_the_real_environment_does_not_change_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAVSTORE_SERVER__PORT", "1")

    assert Settings().server.port == 8080
    assert Settings.load().server.port == 1


def test_proxies_are_networks(file: Path) -> None:
    file.write_text('[server]\ntrusted_proxies = ["10.0.0.0/8", "fd00::1"]\n')

    assert Settings.load(file, {}).server.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("fd00::1"))


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("ann:s3c:r/t@x@db.example/davstore", "ann:***@db.example/davstore"),
        ("/davstore?user=ann&password=s3cret&host=/run", "/davstore?user=ann&password=***&host=/run"),
    ],
)
def test_passwords_are_not_shown(written: str, shown: str) -> None:
    settings = Settings.load(None, {"DAVSTORE_DATABASE__URL": f"postgresql+psycopg://{written}"})

    assert settings.database.url == f"postgresql+psycopg://{written}"
    assert f'url = "postgresql+psycopg://{shown}"' in settings.as_toml()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        (12, 12),
        ("64 KiB", 65536),
        ("64KiB", 65536),
        ("2 GB", 2_000_000_000),
        ("1.5 MiB", 1_572_864),
        ("9b", 9),
    ],
)
def test_sizes_are_read_as_people_write_them(text: object, size: int) -> None:
    assert changed(BucketPolicy(), max_size=text).max_size == size


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("90s", 90), ("1.5h", 5400), ("2 d", 172_800), ("4w", 2_419_200), ("250ms", 0.25)]
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert changed(BucketPolicy(), retention=text).retention == timedelta(seconds=seconds)


@pytest.mark.parametrize("off", [False, "false", "none", "off", ""])
def test_limits_can_be_switched_off(off: object) -> None:
    policy = changed(BucketPolicy(max_size=1, quota=1), max_size=off, quota=off, trash=off, versions=off)

    assert (policy.max_size, policy.quota, policy.trash, policy.versions.keep) == (None, None, None, 0)


@pytest.mark.parametrize(
    ("text", "versions"),
    [("5", Versions(keep=5)), (5, Versions(keep=5)), ("5, 2h", Versions(keep=5, age=timedelta(hours=2)))],
)
def test_versions_can_be_written_in_one_word(text: object, versions: Versions) -> None:
    assert changed(BucketPolicy(), versions=text).versions == versions


def test_a_policy_is_changed_key_by_key() -> None:
    policy = BucketPolicy(quota=5)

    assert changed(policy, dedup="false", types="image/*,text/plain") == BucketPolicy(
        quota=5, dedup=False, types=("image/*", "text/plain")
    )


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"quotas": "1"}, "quotas is not a setting; did you mean quota?"),
        ({"zzz": "1"}, "zzz is not a setting; `davstore config show` lists all settings"),
        ({"dedup": "maybe"}, 'dedup = "maybe": should be true or false'),
        ({"visibility": "open"}, "visibility = \"open\": should be 'private', 'protected' or 'public'"),
    ],
)
def test_a_wrong_policy_is_told(given: dict[str, object], line: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        changed(BucketPolicy(), **given)

    assert refusal.value.lines == (line,)


SIZE = "write a number of bytes, or a number and a unit, such as 64 KiB or 2 GB"
TYPES = "image/* or application/pdf, or memos, penpot-images, penpot-fonts"
DURATION = "write a number and a unit (s, m, h, d or w), such as 90s, 2h or 30d"
NAME = "a name has 1 to 63 letters, digits, dots, dashes and underscores, a letter or digit first"
URL = "should be sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME"
ENDPOINT = "should be http://HOST:PORT or https://HOST, without user, path or query"

WRONG_FILES = [
    ("[server]\nprot = 1", "server.prot is not a setting; did you mean server.port?"),
    ("port = 1", "port is not a setting; did you mean server.port?"),
    ("[server]\ndata = '.'", "server.data is not a setting; did you mean data?"),
    ("[serber]\nport = 1", "serber is not a setting; did you mean server?"),
    ("[server]\nxyzzy = 1", "server.xyzzy is not a setting; `davstore config show` lists all settings"),
    ("[buckets.a]\nquot = 1", "buckets.a.quot is not a setting; did you mean buckets.a.quota?"),
    ("[buckets.a.versions]\nkep = 1", "buckets.a.versions.kep is not a setting; did you mean buckets.a.versions.keep?"),
    ("[storages.local]\npaht = 1", "storages.local.paht is not a setting; did you mean storages.local.path?"),
    ("server = 1", "server = 1: is a section; write [server]"),
    ("buckets = 1", "buckets = 1: is a section; write [buckets]"),
    ("[buckets]\na = 'x'", 'buckets.a = "x": is a section; write [buckets.a]'),
    ("data = 1", "data = 1: should be a path, in quotes"),
    ("data = 'a?b'", 'data = "a?b": must not contain a question mark'),
    ("[server]\nport = 'x'", 'server.port = "x": should be a whole number'),
    ("[server]\nport = 1.5", "server.port = 1.5: should be a whole number"),
    ("[server]\nport = 70000", "server.port = 70000: should be less than or equal to 65535"),
    ("[server]\nworkers = 0", "server.workers = 0: should be greater than or equal to 1"),
    ("[server]\nhost = 1", "server.host = 1: should be text, in quotes"),
    ("[server]\nhost = ''", 'server.host = "": must not be empty'),
    ("[server]\nanonymous = 'all'", "server.anonymous = \"all\": should be 'none', 'read' or 'write'"),
    (
        "[server]\ntrusted_proxies = ['10.0.0.1/8']",
        'server.trusted_proxies = "10.0.0.1/8": should be a network such as 10.0.0.0/8, or an address',
    ),
    ("[server]\nidle_timeout = 60", f"server.idle_timeout = 60: {DURATION}"),
    ("[server]\nidle_timeout = '60'", f'server.idle_timeout = "60": {DURATION}'),
    ("[server]\nidle_timeout = '1y'", f'server.idle_timeout = "1y": {DURATION}'),
    ("[server]\nidle_timeout = '-1s'", f'server.idle_timeout = "-1s": {DURATION}'),
    ("[server]\nidle_timeout = '40000d'", 'server.idle_timeout = "40000d": must not be longer than 36500d'),
    ("[database]\nurl = 'mysql://x'", f'database.url = "mysql://x": {URL}'),
    ("[database]\nurl = 'sqlite://'", f'database.url = "sqlite://": {URL}'),
    ("[database]\nurl = 'postgresql://u:pw@h/d'", f'database.url = "postgresql://u:***@h/d": {URL}'),
    ("[database]\ndurability = 'no'", "database.durability = \"no\": should be 'fsync' or 'os'"),
    ("[locks]\ndefault_timeout = '2d'", "locks: default_timeout must not be longer than max_timeout"),
    ("[collector]\ninterval = '0s'", 'collector.interval = "0s": should be greater than or equal to 1 second'),
    ("[collector]\nscrub = 30", f"collector.scrub = 30: {DURATION}"),
    ("[[buckets.a.references]]\ntable = 'profile'", "buckets.a.references.column: is missing"),
    ("[buckets.a]\nreferences = 'profile.photo'", 'buckets.a.references = "profile.photo": should be a list'),
    (
        "[buckets.a]\nreferences = ['profile.photo']",
        'buckets.a.references = "profile.photo": is a section; write [[buckets.a.references]]',
    ),
    ("[storages.a]\ntype = 'ftp'", "storages.a.type = \"ftp\": should be 'local', 'db' or 's3'"),
    (
        "[storages.a]\ntype = 'db'\npath = 'x'",
        "storages.a.path is not a setting; `davstore config show` lists all settings",
    ),
    ("[storages.a]\ntype = 's3'", "storages.a.bucket: is missing"),
    (
        "[storages.a]\ntype = 's3'\nbucket = 'media'\nprefx = 'x'",
        "storages.a.prefx is not a setting; did you mean storages.a.prefix?",
    ),
    (
        "[storages.a]\ntype = 's3'\nbucket = 'media'\nendpoint = 'http://ann:pw@host'",
        f'storages.a.endpoint = "http://ann:***@host": {ENDPOINT}',
    ),
    (
        "[storages.a]\ntype = 's3'\nbucket = 'media'\nprefix = 'a//b'",
        'storages.a.prefix = "a//b": should be names with slashes between them, such as davstore or team/drive',
    ),
    (
        "[storages]\na = { type = 's3', bucket = 'media' }\nb = { type = 's3', bucket = 'media' }",
        'storages.b.prefix: "" in bucket media is that of storages.a too; give each a prefix of its own',
    ),
    ("[storages.a]", "storages.a.path: is that of storages.local too; give each a directory of its own"),
    ("[storages.inline]\npath = 'x'", "storages.inline: this name is reserved; choose another"),
    ("[storages.'a b']\npath = 'x'", f'storages."a b": {NAME}'),
    (
        "[buckets.a]\npresets = ['thumbnail', 'huge']",
        'buckets.a.presets = "huge": there is no such preset; define [renditions.presets.huge]',
    ),
    ("[buckets.a]\nstorage = 'b'", 'buckets.a.storage = "b": there is no such storage; define [storages.b]'),
    ("[buckets.'']", f'buckets."": {NAME}'),
    ("[buckets.'a/b']", f'buckets."a/b": {NAME}'),
    ("[buckets.a]\nquota = 'big'", f'buckets.a.quota = "big": {SIZE}'),
    ("[buckets.a]\nquota = true", f"buckets.a.quota = true: {SIZE}"),
    ("[buckets.a]\nquota = -1", f"buckets.a.quota = -1: {SIZE}"),
    ("[buckets.a]\nquota = '9 EiB'", 'buckets.a.quota = "9 EiB": must not be larger than 8 EiB'),
    (
        "[buckets.a]\ninline_below = '17 MiB'",
        'buckets.a.inline_below = "17 MiB": should be less than or equal to 16777216',
    ),
    ("[buckets.a]\ndedup = 'x'", 'buckets.a.dedup = "x": should be true or false'),
    ("[buckets.a]\ntrash = 30", f"buckets.a.trash = 30: {DURATION}"),
    (
        "[buckets.a]\ntypes = ['image']",
        f"buckets.a.types = [\"image\"]: 'image' is not a media type; write for example {TYPES}",
    ),
    (
        "[buckets.a]\nversions = { keep = -1 }",
        "buckets.a.versions.keep = -1: should be greater than or equal to 0",
    ),
    *(
        (f"[buckets.'{name}']", f"buckets.{shown}: this name is reserved; choose another")
        for name, shown in {
            **{name: name for name in ("assets", "o", "file", "api", "healthz", "metrics", "-", "ocs", "API")},
            **{name: f'"{name}"' for name in ("remote.php", "status.php")},
        }.items()
    ),
]


@pytest.mark.parametrize(("text", "line"), WRONG_FILES)
def test_a_wrong_file_is_told_in_one_line(file: Path, text: str, line: str) -> None:
    file.write_text(text)

    with pytest.raises(SettingsError) as refusal:
        Settings.load(file, {})

    assert refusal.value.lines == (f"davstore.toml: {line}",)


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        (
            {"DAVSTORE_SERVER__PROT": "1"},
            "DAVSTORE_SERVER__PROT is not a setting; did you mean DAVSTORE_SERVER__PORT?",
        ),
        ({"DAVSTORE_SERBER__PORT": "1"}, "DAVSTORE_SERBER is not a setting; did you mean DAVSTORE_SERVER?"),
        ({"DAVSTORE_SERVER__PORT": "x"}, 'DAVSTORE_SERVER__PORT = "x": should be a whole number'),
        ({"DAVSTORE_BUCKETS__A__TRASH": "x"}, f'DAVSTORE_BUCKETS__A__TRASH = "x": {DURATION}'),
        ({"DAVSTORE_BUCKETS__API__TRASH": "1d"}, "DAVSTORE_BUCKETS__API: this name is reserved; choose another"),
    ],
)
def test_a_wrong_variable_is_told_in_one_line(file: Path, environ: dict[str, str], line: str) -> None:
    file.write_text("[server]\nport = 1\n")

    with pytest.raises(SettingsError) as refusal:
        Settings.load(file, environ)

    assert refusal.value.lines == (line,)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ({"port": 99999}, "--port = 99999: should be less than or equal to 65535"),
        ({"workers": 0}, "--workers = 0: should be greater than or equal to 1"),
        ({"anonymous": "x"}, "--anonymous = \"x\": should be 'none', 'read' or 'write'"),
        ({"data": Path("a?")}, '--data = "a?": must not contain a question mark'),
    ],
)
def test_a_wrong_flag_is_told_in_one_line(flags: dict[str, object], line: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        Settings.load(None, {"DAVSTORE_SERVER__PORT": "x"} if "port" in flags else {}, **flags)

    assert refusal.value.lines == (line,)


def test_every_mistake_is_told_at_once(file: Path) -> None:
    file.write_text("[server]\nport = 'x'\nprot = 1\n")

    with pytest.raises(SettingsError) as refusal:
        Settings.load(file, {}, workers=0)

    assert str(refusal.value).splitlines() == [
        'davstore.toml: server.port = "x": should be a whole number',
        "--workers = 0: should be greater than or equal to 1",
        "davstore.toml: server.prot is not a setting; did you mean server.port?",
    ]


def test_a_file_that_is_missing_is_told(file: Path) -> None:
    with pytest.raises(SettingsError) as refusal:
        Settings.load(file, {})

    assert refusal.value.lines == (
        "davstore.toml: there is no such file; --config and DAVSTORE_CONFIG name a TOML file",
    )


def test_a_directory_is_no_configuration_file(file: Path) -> None:
    file.mkdir()

    with pytest.raises(SettingsError) as refusal:
        Settings.load(file, {})

    assert refusal.value.lines == ("davstore.toml: cannot be read: Is a directory",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"port 1", "Expected '=' after a key in a key/value pair (at line 1, column 6)"),
        (b"\xff", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ],
)
def test_a_file_that_is_not_toml_is_told(file: Path, content: bytes, reason: str) -> None:
    file.write_bytes(content)

    with pytest.raises(SettingsError) as refusal:
        Settings.load(file, {})

    assert refusal.value.lines == (f"davstore.toml: is not TOML: {reason}",)
