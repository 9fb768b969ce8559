package telemetry

import (
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemtx"
	"github.com/idemtx/idemtx/scope"
)

// mark is in all that must not come out: in scope, key, payload and reply. The first
// eight bytes of a key may.
const mark = "5ecret"

// secretRequest is a request that is full of secrets.
func secretRequest(t *testing.T) idemtx.Request {
	t.Helper()
	sc, err := scope.New("tenant "+mark, "principal "+mark)
	require.NoError(t, err)
	return idemtx.Request{
		Scope: sc, Operation: "POST /orders", Key: "visible-" + mark, Payload: map[string]string{"card": mark},
	}
}

// requireNoSecret requires that a text holds none, neither as it is nor as PostgreSQL
// writes bytes.
func requireNoSecret(t *testing.T, text string) {
	t.Helper()
	require.NotContains(t, text, mark)
	require.NotContains(t, text, hex.EncodeToString([]byte(mark)))
	r := secretRequest(t)
	f, err := idemtx.FingerprintOf(r.Operation, r.Payload)
	require.NoError(t, err)
	require.NotContains(t, text, hex.EncodeToString(f[:4]))
}

// tells is a trigger that puts whole rows into its errors, as one might that is there to
// find a mistake.
const tells = `CREATE OR REPLACE FUNCTION {schema}.tell() RETURNS trigger LANGUAGE plpgsql AS $$
	DECLARE it {table}%ROWTYPE;
	BEGIN
		it := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
		RAISE EXCEPTION 'no % for % of %', it.response, it.key, it.scope USING DETAIL = it::text, HINT = it.key;
	END $$;
	CREATE TRIGGER tell BEFORE INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION {schema}.tell()`
