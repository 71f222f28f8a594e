"""The article's plan 4: one HTTP request, one encode, many heads. Callers need no logic of their own."""
