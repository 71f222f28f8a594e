"""What the processes of both services share, and no caller needs."""
