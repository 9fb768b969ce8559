package scope

import "errors"

// ErrInvalid is what New returns for a part that breaks a rule; the error names
// the rule. idemtx.ErrInvalidRequest is the same value.
var ErrInvalid = errors.New("idemtx: invalid request")
