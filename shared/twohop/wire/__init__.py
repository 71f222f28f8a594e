"""Generated from shared/proto by `make proto`; committed, never edited."""
