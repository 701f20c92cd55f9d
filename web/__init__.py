"""What a browser or a tool sees: HTTP, the live socket, the page. A library that knows the bus and nothing else."""
