"""`hindsight topics`: create the missing topics, give them more partitions, print them for other tools."""

import asyncio
from enum import StrEnum
from typing import Annotated

import typer

topics = typer.Typer(epilog="Example: HINDSIGHT_KAFKA_BOOTSTRAP=kafka:9092 hindsight topics")


class TopicsFormat(StrEnum):
    """What `hindsight topics --emit` prints."""

    ACLS = "acls"
    STRIMZI = "strimzi"


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.add_typer(topics, name="topics")


@topics.callback(invoke_without_command=True)
def create(
    context: typer.Context,
    emit: Annotated[
        TopicsFormat | None,
        typer.Option(help="Print kafka-acls.sh lines or Strimzi's resources, and do nothing else."),
    ] = None,
    cluster: Annotated[str, typer.Option(help="The name of Strimzi's Kafka resource.")] = "kafka",
) -> None:
    """Create the missing topics, and print how the others differ from the required ones."""
    from app.events.topics import required_topics
    from app.kafka import manifests
    from app.kafka.provisioning import provision
    from app.settings import settings

    if context.invoked_subcommand is not None:
        return
    if emit is TopicsFormat.ACLS:
        print("\n".join(manifests.acl_lines(settings())))
    elif emit is TopicsFormat.STRIMZI:
        print(manifests.strimzi_document(settings(), cluster), end="")
    else:
        differences = asyncio.run(provision(settings()))
        for line in differences:
            print(line)
        print(f"{len(required_topics(settings()))} topics are there; {len(differences)} differences")


@topics.command(epilog="Example: hindsight topics grow ocr --partitions 12")
def grow(
    task: Annotated[str, typer.Argument(help="The task.")],
    partitions: Annotated[int, typer.Option(min=1, help="The partitions of each of its topics.")],
    despite_lag: Annotated[
        bool, typer.Option("--despite-lag", help="Do it while events wait: the order of a key may break.")
    ] = False,
) -> None:
    """Give the topics of a task more partitions, when all their events are read."""
    from app.kafka import growth
    from app.settings import settings

    grown = asyncio.run(growth.grow(settings(), task, partitions, despite_lag=despite_lag))
    print(f"{len(grown)} topics of {task} have grown to {partitions} partitions.")
    if grown:
        print(
            "From now on a key may be in another partition: the order of a key holds for what is written from now on. "
            "The consumer groups assign the new partitions within 10 s, and read nothing meanwhile. "
            f"Set HINDSIGHT_PARTITIONS={partitions}, so that new tasks have as many."
        )
