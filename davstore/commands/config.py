"""`davstore config`: the settings in force."""

import typer

from . import output
from .installation import Config, Data, Json, load

app = typer.Typer(help="The settings in force.")


@app.command()
def show(json: Json = False, data: Data = None, config: Config = None) -> None:
    """Print every setting as TOML, with passwords hidden."""
    settings = load(data, config)
    if json:
        output.as_json(settings.described())
    else:
        typer.echo(settings.as_toml(), nl=False)


@app.command()
def check(data: Data = None, config: Config = None) -> None:
    """Tell whether the settings are right, and open nothing; exit code 1 says that they are not."""
    load(data, config)
    output.say("The settings are right.")
