"""What the detector knows: the classes, in the order of the network's outputs."""

LABELS = ("ball", "book", "bottle", "key", "mug", "sign", "star")
