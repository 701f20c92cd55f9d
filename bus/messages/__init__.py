"""Every message of Agora, by subject; `catalogue` lists them all."""
