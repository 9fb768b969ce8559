package idemhttp

import (
	"encoding/json"
	"net/http"

	"github.com/idemtx/idemtx/idemtx"
)

// Stripe answers as Stripe documents it for its own API, for clients that are
// written for that. It differs from [IETF]:
//
//   - Errors are kept, a 500 included: the writes are undone and the retry gets
//     the same error. 400 and 401 are forgotten, as what is refused before the
//     work begins, and so is what is transient; see [Policy].
//   - A key in flight is refused at once, with 409 and the code
//     idempotency_key_in_use.
//   - A key that was used for another request is a 400 of the type
//     idempotency_error.
//   - A replay has Idempotent-Replayed: true.
//
// Stripe does not ask for a key: set [Config.Optional] for that.
//
// A kept 500 means that the key is used up although nothing was done. Answer what
// may pass with 503, or take a Decide of your own, if your clients should be able
// to try again.
var Stripe = Policy{
	Decide:         begun,
	OnDuplicate:    idemtx.Refuse,
	ReplayedHeader: "Idempotent-Replayed",
	Problem:        stripeError,
}

// begun keeps every error but those that stop a request before it is begun.
func begun(status int, header http.Header) Decision {
	switch decision := successful(status, header); {
	case decision == Commit:
		return Commit
	case status == http.StatusBadRequest, status == http.StatusUnauthorized:
		return Forget
	}
	return Keep
}

func stripeError(p Problem) Response {
	kind, code := "invalid_request_error", p.Name
	switch {
	case p.Name == mismatch.Name:
		p.Status, kind = http.StatusBadRequest, "idempotency_error"
	case p.Name == inFlight.Name:
		kind, code = "idempotency_error", "idempotency_key_in_use"
	case p.Status >= 500:
		kind = "api_error"
	}
	type description struct {
		Type    string `json:"type"`
		Code    string `json:"code"`
		Message string `json:"message"`
		DocURL  string `json:"doc_url"`
	}
	body, _ := json.Marshal(map[string]description{"error": {kind, code, p.Detail, p.Type}}) // strings always encode
	return Response{Status: p.Status, Header: http.Header{"Content-Type": {"application/json"}}, Body: body}
}
