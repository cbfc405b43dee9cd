"""What is said around an item of the review: what is known of it, what was said of it, or that there is none."""

from collections.abc import Mapping
from typing import Any

from app.pages.elements import Node, definition_list
from app.pages.review.editors import summarize_output
from app.pages.review.queues import Queue
from app.pages.review.review_session import ReviewItem

_SELECTION_TEXTS: Mapping[str, str] = {
    "audit": "drawn by the random audit: it counts for the score",
    "all": "all predictions are judged: it counts for the score",
    "volunteer": "looked at because the model is unsure: for training, not for the score",
}


def render_empty(queue: Queue, prediction_id: str) -> None:
    """Why there is no item: in a queue, or of the one that was asked for."""
    with Node("div", style="empty"):
        if prediction_id:
            Node("strong", "There is no such prediction")
            Node("span", "It may not be recorded yet: that is a moment after its answer. Or it was erased.")
            return
        Node("strong", "Nothing waits here")
        Node(
            "span",
            "All that the audit has drawn is judged or claimed. Look at the least certain ones, or raise `audit_rate`."
            if queue == "audit"
            else "Send requests, for example `hindsight send ocr FILE`; what is answered comes here.",
        )


def render_details(item: ReviewItem) -> None:
    """What is known of it, and who said what of it."""
    made = item.prediction
    known = {
        "version": f"{made['model']['version']} ({made['role']})",
        "confidence": f"{made['confidence']:.3f}",
        "propensity": f"{made['propensity']:.3f}",
        "predicted": f"{made['time']:%Y-%m-%d %H:%M:%S} UTC",
        "selection": f"{item.selection}: {_SELECTION_TEXTS[item.selection]}",
        "id": item.prediction_id,
    }
    definition_list(known)
    if item.feedback:
        outcome = made["outcome"] or {}
        Node("h3", "Said of it" + (": they disagree" if outcome.get("contradicted") else ""))
        with Node("ul", style="small stack-tight"):
            for one in item.feedback:
                with Node("li"):
                    Node("strong", one["actor"])
                    Node("span", f" {describe_feedback(one)} · {one['time']:%Y-%m-%d %H:%M} UTC")


def describe_feedback(given: Mapping[str, Any]) -> str:
    """What a piece of feedback says."""
    said = []
    if given.get("correction") is not None:
        said.append(f"corrected to {summarize_output(given['correction'])}")
    if given.get("reward") is not None:
        said.append(f"rewarded with {given['reward']:g}")
    if given.get("accepted") is not None:
        said.append("right" if given["accepted"] else "wrong")
    return ", ".join(said)
