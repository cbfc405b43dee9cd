"""`hindsight topics`: create the missing topics."""

import asyncio

import typer


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command(epilog="Example: HINDSIGHT_KAFKA_BOOTSTRAP=kafka:9092 hindsight topics")(topics)


def topics() -> None:
    """Create the missing topics, and print how the others differ from the required ones."""
    from app.events.topics import required_topics
    from app.kafka.provisioning import provision
    from app.settings import settings

    differences = asyncio.run(provision(settings()))
    for line in differences:
        print(line)
    print(f"{len(required_topics(settings()))} topics are there; {len(differences)} differences")
