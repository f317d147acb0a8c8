"""The scenario language: frozen models, YAML with located errors, static feasibility, explanation."""
