"""Details and feedback of an item under review, and the text shown without an item."""

from collections.abc import Mapping
from typing import Any

from app.events.types import ReviewQueue
from app.pages.elements import Node, Prose, definition_list
from app.pages.review.editors import summarize_output
from app.pages.review.review_session import ReviewItem

_SELECTION_TEXTS: Mapping[str, str] = {
    "audit": "in the random audit: counts for the score",
    "all": "all predictions are reviewed: counts for the score",
    "volunteer": "not in the audit: used for training, not for the score",
}


def render_empty(queue: ReviewQueue, prediction_id: str) -> None:
    """Show why there is no item: the queue is empty, or the requested prediction does not exist."""
    with Node("div", style="empty"):
        if prediction_id:
            Node("strong", "There is no such prediction")
            Node("span", "It is not recorded yet (that takes a moment after its answer), or it was erased.")
            return
        Node("strong", "This queue is empty")
        Prose(
            "span",
            "The audit's predictions are all reviewed or claimed. Review the least certain ones, "
            "or raise `audit_rate` of the task in `HINDSIGHT_TASK_SETTINGS`."
            if queue == "audit"
            else "Send requests, for example `hindsight send ocr FILE`. Their answers appear here.",
        )


def render_details(item: ReviewItem, is_blind: bool = False) -> None:
    """Show the prediction's details and its feedback; in a blind review nothing that tells of the output."""
    prediction = item.prediction
    of_output = {
        "version": f"{prediction['model']['version']} ({prediction['role']})",
        "confidence": f"{prediction['confidence']:.3f}",
        "propensity": f"{prediction['propensity']:.3f}",
    }
    details = ({"output": "hidden until you have answered; o shows it"} if is_blind else of_output) | {
        "predicted": f"{prediction['time']:%Y-%m-%d %H:%M:%S} UTC",
        "selection": f"{item.selection}: {_SELECTION_TEXTS[item.selection]}",
        "id": item.prediction_id,
    }
    definition_list(details)
    if item.feedback:
        outcome = prediction["outcome"] or {}
        Node("h3", "Feedback" + (": contradictory" if outcome.get("contradicted") else ""))
        with Node("ul", style="small stack-tight"):
            for feedback in item.feedback:
                with Node("li"):
                    Node("strong", feedback["actor"])
                    Node("span", f" {describe_feedback(feedback)} · {feedback['time']:%Y-%m-%d %H:%M} UTC")
                    if feedback["retracted"] is not None:
                        Node("span", f" · retracted {feedback['retracted']:%Y-%m-%d %H:%M} UTC", "muted")


def describe_feedback(feedback: Mapping[str, Any]) -> str:
    """Return a piece of feedback as text."""
    texts = []
    if feedback.get("correction") is not None:
        texts.append(f"corrected to {summarize_output(feedback['correction'])}")
    if feedback.get("reward") is not None:
        name, position = feedback.get("reward_name"), feedback.get("position")
        texts.append(
            f"rewarded with {feedback['reward']:g}"
            + (f" for {name}" if name else "")
            + (f" in position {position}" if position else "")
        )
    if (preference := feedback.get("preference")) is not None:
        texts.append(f"{'better' if preference['better'] else 'worse'} is {summarize_output(preference['output'])}")
    if feedback.get("accepted") is not None:
        texts.append("right" if feedback["accepted"] else "wrong")
    return ", ".join(texts)
