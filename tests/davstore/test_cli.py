"""The command line as a whole: its help, its exit codes, the installation and the settings that it works on."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from core.store import Store
from davstore.cli import app
from tests.parts.commands import Davstore, printed, refused


def commands(group: TyperGroup, above: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        yield f"{above}{name}", command
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{above}{name} ")


def test_every_promised_command_is_there():
    names = {name for name, command in commands(typer.main.get_command(app)) if not isinstance(command, TyperGroup)}  # pyright: ignore[reportArgumentType]

    assert names >= {
        *("serve", "user add", "user passwd", "user ls", "user rm", "bucket create", "bucket ls", "bucket set"),
        *(
            "trash ls",
            "trash restore",
            "trash empty",
            "lock ls",
            "lock rm",
            "du",
            "fsck",
            "config show",
            "config check",
        ),
    }


def test_every_command_and_every_option_has_a_sentence_of_help():
    for name, command in commands(typer.main.get_command(app)):  # pyright: ignore[reportArgumentType]
        assert command.help.endswith("."), name
        for parameter in command.params:
            assert parameter.help.endswith("."), f"{name} {parameter.name}"


def test_every_command_takes_a_data_directory_and_a_configuration():
    for name, command in commands(typer.main.get_command(app)):  # pyright: ignore[reportArgumentType]
        options = {option for parameter in command.params for option in parameter.opts}
        assert isinstance(command, TyperGroup) or {"--data", "--config"} <= options, name


def test_the_data_directory_may_stand_before_the_command_and_the_later_one_counts(anywhere: Davstore, opened: Store):
    data = str(opened.settings.data)

    before = anywhere("--data", data, "user", "ls", "--json")
    both = anywhere("--data", "elsewhere", "user", "ls", "--json", "--data", data)

    assert printed(before) == printed(both)
    assert [user["name"] for user in printed(before)] == ["admin", "bob"]


def test_wrong_usage_is_one_line_with_exit_code_2(anywhere: Davstore):
    for words in [], ["user"], ["usr"], ["--bogus"], ["user", "add"], ["du", "--bogus"], ["bucket", "set", "files"]:
        assert "--help" in refused(anywhere(*words), code=2)


def test_the_settings_are_shown_as_the_file_that_would_give_them(anywhere: Davstore):
    shown = anywhere("config", "show", "--data", "there")
    Path("again.toml").write_text(shown.stdout)

    again = anywhere("config", "show", "--config", "again.toml")

    assert (shown.exit_code, again.stdout) == (0, shown.stdout)
    assert printed(anywhere("config", "show", "--json", "--data", "there")) == {
        **tomllib.loads(shown.stdout),
        "buckets": {"files": printed(anywhere("config", "show", "--json"))["buckets"]["files"]},
    }


def test_the_settings_are_shown_without_passwords(anywhere: Davstore):
    url = {"DAVSTORE_DATABASE__URL": "postgresql+psycopg://dav:hunter2@db.example/dav"}

    assert "hunter2" not in anywhere("config", "show", env=url).output
    assert "db.example" in anywhere("config", "show", "--json", env=url).stdout


def test_a_configuration_is_checked_and_nothing_is_opened(anywhere: Davstore):
    Path("right.toml").write_text('data = "there"\n[server]\nport = 1\n')
    Path("wrong.toml").write_text('data = "there"\n[server]\nprot = 1\nworkers = "many"\n')

    right = anywhere("config", "check", "--config", "right.toml")
    wrong = anywhere("config", "check", "--config", "wrong.toml")

    assert (right.exit_code, wrong.exit_code) == (0, 1)
    assert wrong.stderr.splitlines() == [
        'davstore: wrong.toml: server.workers = "many": should be a whole number',
        "davstore: wrong.toml: server.prot is not a setting; did you mean server.port?",
    ]
    assert not Path("there").exists()


@pytest.mark.parametrize("words", [["du"], ["fsck"], ["user", "ls"], ["user", "rm", "bob"], ["trash", "empty"]])
def test_a_mistyped_data_directory_is_refused_and_not_made(anywhere: Davstore, words: list[str]):
    line = refused(anywhere(*words, "--data", "nowhere"), code=3)

    assert "nowhere" in line
    assert "davstore serve" in line
    assert not Path("nowhere").exists()


def test_a_user_can_be_made_before_the_first_start(anywhere: Davstore):
    made = anywhere("user", "add", "ann", "--admin", "--data", "new", env={"DAVSTORE_PASSWORD": "pw"})

    assert made.exit_code == 0
    assert [user["name"] for user in printed(anywhere("user", "ls", "--json", "--data", "new"))] == ["ann"]
