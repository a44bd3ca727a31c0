"""What runs beside the machines: it claims node tasks from the api and carries them out."""
