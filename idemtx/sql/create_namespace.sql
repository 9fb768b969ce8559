-- Needs CREATE on the database, even when the schema is there already.
CREATE SCHEMA IF NOT EXISTS {schema};

