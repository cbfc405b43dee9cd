"""The published contract of the events: JSON Schemas, AsyncAPI, the data dictionary."""
