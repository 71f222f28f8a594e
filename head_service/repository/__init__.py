"""The one place that knows the folder of head versions: layout, manifest, publishing, versions, roles."""
