"""The collector of a fleet: ingest, store, roll-ups, pages and API. Installed by the extra ``collector``."""
