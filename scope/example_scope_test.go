package scope_test

import (
	"fmt"

	"github.com/idemtx/idemtx/scope"
)

// The key goes into a query and never into a log.
func ExampleScope_Key() {
	s, err := scope.New("acme", "alice", "account 7")
	fmt.Printf("%q %v\n", s.Key(), err)

	// Output: "acme\x1ealice\x1eaccount 7" <nil>
}

// The log tells one scope from another, and from neither who it is.
func ExampleScope_LogID() {
	for _, principal := range []string{"alice", "bob"} {
		s, err := scope.New("acme", principal)
		fmt.Println(s.LogID(), err)
	}

	// Output:
	// sha256:74f54243a662 <nil>
	// sha256:31e8ce1d6d06 <nil>
}

// A Scope that nobody has set belongs to nobody.
func ExampleScope_IsZero() {
	var s scope.Scope
	fmt.Println(s.IsZero())

	// Output: true
}
