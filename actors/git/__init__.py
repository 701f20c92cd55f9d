"""Git through its command line: what a change is, its checks, and how a branch is moved and moved back."""
