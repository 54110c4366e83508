"""What the buttons do; each operator hands over to the session and says in one sentence what went wrong."""
