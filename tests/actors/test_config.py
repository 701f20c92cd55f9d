"""The settings: where they come from, which one counts, and how a wrong one is named."""

from pathlib import Path

import pytest

from actors.config import Config, Settings, load
from actors.personas import DEFAULT_PERSONAS
from bus.errors import ConfigError

PERSONA = '[[personas]]\nname = "{name}"\ncapabilities = ["summarise"]\nprompt = "You read."\nprice_msat = 100\n'


def written(directory: Path, text: str) -> Path:
    file = directory / "agora.toml"
    file.write_text(text, encoding="utf-8")
    return file


def refusal(directory: Path, text: str = "", **environment: str) -> str:
    file = written(directory, text) if text else None
    with pytest.raises(ConfigError) as error:
        load(file, environment, {})
    return str(error.value).replace(f"{directory}/", "")


def test_without_any_setting_the_defaults_hold() -> None:
    config = load(None, {}, {})
    assert config == Config()
    assert config.society == DEFAULT_PERSONAS


def test_the_environment_counts_over_the_file_and_the_command_line_over_both(tmp_path: Path) -> None:
    file = written(tmp_path, "[web]\nport = 1\nsockets_max = 1\nevents_cached = 1\n")
    environment = {"AGORA_WEB__SOCKETS_MAX": "2", "AGORA_WEB__PORT": "2"}
    web = load(file, environment, {"web.port": 3}).web
    assert (web.events_cached, web.sockets_max, web.port) == (1, 2, 3)


def test_each_setting_says_where_it_comes_from(tmp_path: Path) -> None:
    file = written(tmp_path, "[agents]\ntokens_max = 7\n")
    settings = Settings(file, {"AGORA_LOG__LEVEL": "debug"}, {"data": "elsewhere"})
    assert settings.origin(("agents", "tokens_max")) == f"{file}:2"
    assert settings.origin(("log", "level")) == "AGORA_LOG__LEVEL"
    assert settings.origin(("data",)) == "--data"
    assert settings.origin(("agents", "heartbeat_s")) == "default"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[agents]\nheartbeat_s = 2\ntoken_max = 7\n",
            "agora.toml:3: agents.token_max: there is no such setting; did you mean 'tokens_max'?",
        ),
        ("\n[agentz]\n", "agora.toml:2: agentz: there is no such setting; did you mean 'agents'?"),
        ("agents.tokens_max = 'x'", "agora.toml:1: agents.tokens_max: expected a whole number, got text"),
        ("[agents]\ntokens_max = 0\n", "agora.toml:2: agents.tokens_max: expected a whole number >= 1"),
        ("[log]\n\nlevel = 'loud'\n", "agora.toml:3: log.level: invalid enum value 'loud'"),
        ("[log]\nlevel = \n", "agora.toml:2: syntax: invalid value"),
        ("[log\n", "agora.toml:1: syntax: expected ']' at the end of a table declaration"),
        ("log = 3\n", "agora.toml:1: log: expected a table, got a whole number"),
        (
            PERSONA.format(name="one") + PERSONA.format(name="one"),
            "agora.toml:7: personas[1].name: a persona before it is called 'one' too",
        ),
        (
            PERSONA.format(name="one") + PERSONA.format(name="two") + "price_mast = 1\n",
            "agora.toml:11: personas[1].price_mast: there is no such setting; did you mean 'price_msat'?",
        ),
        ("[web]\nport = 99999", "agora.toml:2: web.port: 99999 is no port"),
        ("[coordinator]\nlease_s = 0", "agora.toml:2: coordinator.lease_s: expected a number > 0"),
        (
            "[coordinator]\nlease_s = 4",
            "agora.toml:1: agents.heartbeat_s: a lease of 4 s (coordinator.lease_s) would run out before it",
        ),
        ("[journal]\ncheckpoint_keep = 0", "agora.toml:2: journal.checkpoint_keep: expected a whole number >= 1"),
        ("has_default_personas = false", "agora.toml:1: has_default_personas: without them and without personas"),
        (PERSONA.format(name="a/b"), "agora.toml:2: personas[0].name: it must be 1 to 64 of a-z, 0-9, - and _"),
        ('[[personas]]\nname = "x"\n', "agora.toml:1: personas[0]: `capabilities` is missing"),
        (
            '[[router.providers]]\nname = "x"\ndialect = "openai"\nbase_url = "ftp://x"\nmodel = "m"\n',
            "agora.toml:4: router.providers[0].base_url: `base_url` of x must be an http or https address",
        ),
    ],
)
def test_a_wrong_setting_in_the_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    assert refusal(tmp_path, text).startswith(message)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("AGORA_AGENTS__TOKEN_MAX", "7", "agents.token_max: there is no such setting; did you mean 'tokens_max'?"),
        ("AGORA_AGENTS__TOKENS_MAX", "many", "agents.tokens_max: expected a whole number, got text"),
        ("AGORA_AGENTS__TOKENS_MAX", "0", "agents.tokens_max: expected a whole number >= 1"),
        ("AGORA_LOG__LEVEL", "loud", "log.level: invalid enum value 'loud'"),
        ("AGORA_PERSONAS__NAME", "x", "personas.name: there is no such setting"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, name: str, value: str, message: str) -> None:
    assert refusal(tmp_path, **{name: value}) == f"{name}: {message}"


def test_other_variables_are_left_alone() -> None:
    assert load(None, {"AGORA": "1", "AGORA_CONFIG": "x", "PATH__X": "1"}, {}) == Config()


def test_a_missing_file_and_one_that_is_no_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: the file: cannot be read: No such file"):
        load(tmp_path / "none.toml", {}, {})
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read: it is not UTF-8 text"):
        load(tmp_path / "binary.toml", {}, {})


def test_a_configured_persona_takes_the_place_of_a_default_one(tmp_path: Path) -> None:
    config = load(written(tmp_path, PERSONA.format(name="scout") + PERSONA.format(name="guest")), {}, {})
    assert [persona.name for persona in config.society] == ["scout", "analyst", "editor", "librarian", "guest"]
    assert config.society[0].price_msat == 100


def test_the_society_can_be_all_ones_own(tmp_path: Path) -> None:
    config = load(written(tmp_path, "has_default_personas = false\n" + PERSONA.format(name="guest")), {}, {})
    assert [persona.name for persona in config.society] == ["guest"]


def test_equal_settings_have_equal_hashes_wherever_they_stand(tmp_path: Path) -> None:
    from_file = load(written(tmp_path, "[agents]\ntokens_max = 7\n"), {}, {})
    from_environment = load(None, {"AGORA_AGENTS__TOKENS_MAX": "7"}, {})
    assert from_file.hash == from_environment.hash != Config().hash


def test_a_provider_whose_extra_is_not_installed_is_refused_where_it_stands(tmp_path: Path) -> None:
    text = '[[router.providers]]\nname = "large"\ndialect = "airllm"\nmodel_path = "/models/llama"\n'
    assert refusal(tmp_path, text).endswith("airllm of large needs airllm: pip install agora[airllm]")


def test_an_agent_cannot_file_in_a_repository_that_there_is_not(tmp_path: Path) -> None:
    filing = '[[agents.filing]]\nagent = "scout"\nrepository = "notes"\n'
    with pytest.raises(
        ConfigError, match=r"agora.toml:3: agents.filing\[0\].repository: there is no repository 'notes'"
    ):
        load(written(tmp_path, filing), {}, {})
    repositories = '[[approvals.changes.repositories]]\nname = "notes"\npath = "/notes"\n'
    assert load(written(tmp_path, filing + repositories), {}, {}).agents.filing[0].paths == ("briefs/",)


def test_webhooks_that_cannot_be_are_refused_with_their_place(tmp_path: Path) -> None:
    hook = '[[webhooks]]\nurl = "{url}"\n'
    with pytest.raises(ConfigError, match=r"webhooks\[0\].url"):
        load(written(tmp_path, hook.format(url="ftp://a")), {}, {})
    with pytest.raises(ConfigError, match=r"webhooks\[1\].url: one before it is called"):
        load(written(tmp_path, hook.format(url="http://a") * 2), {}, {})
