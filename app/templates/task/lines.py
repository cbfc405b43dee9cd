"""The lines of text that come with the task, each with its label: few, so that all is here to be read."""

LABELS = ("statement", "question")

TRAINING = (
    ("The parcel came on Monday.", "statement"),
    ("Thank you for the quick answer.", "statement"),
    ("I have paid the invoice.", "statement"),
    ("Our office is closed in August.", "statement"),
    ("The colour is not the one I ordered.", "statement"),
    ("Please send it to my new address.", "statement"),
    ("Where is my parcel?", "question"),
    ("When will you answer?", "question"),
    ("Have you got my payment?", "question"),
    ("Is your office open in August?", "question"),
    ("Can I have another colour?", "question"),
    ("What does it cost to send it abroad?", "question"),
)

HELD_OUT = (
    ("The lamp is broken.", "statement"),
    ("We would like to return both chairs.", "statement"),
    ("Nobody was at home.", "statement"),
    ("Who was at home?", "question"),
    ("How can we return a chair?", "question"),
    ("Do you sell lamps?", "question"),
)
"""Never trained on: the figures in a version's card are measured on these."""
