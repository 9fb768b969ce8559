CREATE SCHEMA {schema};

CREATE TABLE {schema}.stock (
	sku       text PRIMARY KEY,
	available integer NOT NULL,
	CONSTRAINT never_oversold CHECK (available >= 0)
);

CREATE TABLE {schema}.orders (
	id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	placed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
	quantity  integer NOT NULL CHECK (quantity BETWEEN 1 AND 100),
	sku       text NOT NULL REFERENCES {schema}.stock,
	account   text NOT NULL, -- who has sent it
	customer  text NOT NULL  -- whom it is for
);

-- What the stand-in for a mail provider has sent.
CREATE TABLE {schema}.mails (
	id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	sent_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
	recipient text NOT NULL,
	subject   text NOT NULL,
	body      text NOT NULL
);

INSERT INTO {schema}.stock (sku, available) VALUES
	('lamp', 10),
	('chair', 3),
	('unicorn', 0); -- always sold out
