"""What is published about the events: JSON Schemas, AsyncAPI, the data dictionary."""
