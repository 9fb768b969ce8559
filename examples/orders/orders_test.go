package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/idemtx/idemtx/idemhttp"
)

func TestReadOrder(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ body, rule string }{
		"an order":               {`{"customer":"ada","sku":"lamp","quantity":2}`, ""},
		"the largest order":      {`{"customer":"` + strings.Repeat("é", 100) + `","sku":"lamp","quantity":100}`, ""},
		"no body":                {``, "must be a JSON object"},
		"not JSON":               {`lamp`, "must be a JSON object"},
		"an unknown member":      {`{"customer":"ada","sku":"lamp","quantity":2,"price":1}`, "must be a JSON object"},
		"two orders":             {`{"customer":"ada","sku":"lamp","quantity":2} {}`, "more in the body"},
		"a body without end":     {`{"customer":"` + strings.Repeat("a", maxBody) + `"`, "must be a JSON object"},
		"more after the limit":   {`{"customer":"ada","sku":"lamp","quantity":2}` + strings.Repeat(" ", maxBody), "more in the body"},
		"no customer":            {`{"sku":"lamp","quantity":2}`, "customer is missing"},
		"a blank customer":       {`{"customer":" ","sku":"lamp","quantity":2}`, "customer is missing"},
		"a long customer":        {`{"customer":"` + strings.Repeat("é", 101) + `","sku":"lamp","quantity":2}`, "at most 100 characters"},
		"a customer with U+0000": {`{"customer":"a\u0000","sku":"lamp","quantity":2}`, "no control characters"},
		"no sku":                 {`{"customer":"ada","quantity":2}`, "lower case letters"},
		"a sku in upper case":    {`{"customer":"ada","sku":"LAMP","quantity":2}`, "lower case letters"},
		"a sku of two lines":     {`{"customer":"ada","sku":"lamp\n","quantity":2}`, "lower case letters"},
		"no quantity":            {`{"customer":"ada","sku":"lamp"}`, "between 1 and 100"},
		"a negative quantity":    {`{"customer":"ada","sku":"lamp","quantity":-1}`, "between 1 and 100"},
		"a quantity of 101":      {`{"customer":"ada","sku":"lamp","quantity":101}`, "between 1 and 100"},
		"half a lamp":            {`{"customer":"ada","sku":"lamp","quantity":0.5}`, "must be a JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodPost, "/orders", strings.NewReader(test.body))
			_, err := readOrder(httptest.NewRecorder(), r)
			if test.rule == "" {
				require.NoError(t, err)
				return
			}
			var p *problem
			require.ErrorAs(t, err, &p)
			require.Equal(t, http.StatusBadRequest, p.Status)
			require.Contains(t, p.Detail, test.rule)
		})
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]idemhttp.Decision{
		http.StatusCreated:             idemhttp.Commit,
		http.StatusConflict:            idemhttp.Keep,
		http.StatusBadRequest:          idemhttp.Forget,
		http.StatusNotFound:            idemhttp.Forget,
		http.StatusInternalServerError: idemhttp.Forget,
	} {
		require.Equal(t, want, decide(status, nil), status)
	}
}

func TestAccount(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"Bearer demo":   "demo",
		"Bearer ":       "",
		"":              "",
		"Basic ZGVtbw":  "",
		"Bearer \x1e":   "",
		"Bearer a\xffb": "",
	} {
		r := httptest.NewRequest(http.MethodGet, "/orders", nil)
		r.Header.Set("Authorization", header)
		name, owner, err := account(r)
		if want == "" {
			require.ErrorIs(t, err, errUnauthenticated, "%q", header)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, want, name)
		require.Equal(t, want, owner.Key())
	}
}
