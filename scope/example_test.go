package scope_test

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/idemtx/idemtx/scope"
)

func ExampleNew() {
	s, err := scope.New("acme", "alice")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%q\n", s.Key())
	fmt.Println(s)

	// Output:
	// "acme\x1ealice"
	// sha256:74f54243a662
}

// A service without tenants leaves the first part empty.
func ExampleNew_withoutTenant() {
	s, err := scope.New("", "alice")
	fmt.Printf("%q %v\n", s.Key(), err)

	// Output: "alice" <nil>
}

// An error names the part and the rule, and never what the part holds.
func ExampleNew_invalid() {
	_, err := scope.New("acme", "alice\n")
	fmt.Println(err)

	// Output: idemtx: invalid request: scope: principal must not hold a control character
}

func ExampleScope_LogValue() {
	s, err := scope.New("acme", "alice", "account 7")
	if err != nil {
		fmt.Println(err)
		return
	}
	withoutTime := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	logger.Info("order created", slog.Any("scope", s))

	// Output: level=INFO msg="order created" scope=sha256:7f8a8abb08a2
}
