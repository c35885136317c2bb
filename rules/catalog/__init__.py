"""What collectivelint knows about other people's APIs, as data: one TOML file per framework."""
