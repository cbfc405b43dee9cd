"""The models page: versions, routes and lineage."""
