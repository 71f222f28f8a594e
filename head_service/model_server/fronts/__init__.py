"""The two protocols of TF-Serving."""
