"""Pure deciders, one per subject: command in, events or a refusal out; `apply` is the only thing that changes state."""
