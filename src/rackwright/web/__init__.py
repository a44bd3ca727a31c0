"""Pages for people. Each is one file that asks the API for what it shows, with the token of who looks at it."""
