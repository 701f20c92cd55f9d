"""How anything talks to anything: addresses, envelopes, mailboxes, topics and the messages themselves."""
