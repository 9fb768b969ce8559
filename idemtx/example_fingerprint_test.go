package idemtx_test

import (
	"encoding/json"
	"fmt"

	"github.com/idemtx/idemtx/idemtx"
)

func ExampleFingerprintOf() {
	body := json.RawMessage(`{"sku": "A-1", "price": 9.50, "sent": {"at": "10:00"}}`)
	first, err := idemtx.FingerprintOf("POST /orders", body, "sent.at")
	if err != nil {
		fmt.Println(err)
		return
	}

	retry := map[string]any{"price": 9.5, "sku": "A-1", "sent": map[string]any{"at": "10:01"}}
	again, err := idemtx.FingerprintOf("POST /orders", retry, "sent.at")
	fmt.Println(first == again, err)

	// Output: true <nil>
}

// An error says where which rule is broken, and never what the payload holds.
func ExampleFingerprintOf_invalid() {
	body := json.RawMessage(`{"items": [{"price": 1e400}]}`)
	_, err := idemtx.FingerprintOf("POST /orders", body)
	fmt.Println(err)

	// Output: idemtx: invalid request: payload at /items/0/price: the number is too large for a float64
}
