package idemhttp_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/idemtx/idemtx/idemhttp"
)

// The server dies before it has answered. The client does not notice: the
// request was sent again, with the same key.
func ExampleTransport() {
	var keys []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		if len(keys) == 1 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(http.StatusCreated)
	}))
	defer server.Close()

	client := &http.Client{
		Transport: &idemhttp.Transport{},
		Timeout:   time.Minute, // for all attempts
	}
	response, err := client.Post(server.URL, "application/json", strings.NewReader(`{"item":"book"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	fmt.Println(response.Status, "at attempt", len(keys))
	fmt.Println(keys[0] == keys[1])
	// Output:
	// 201 Created at attempt 2
	// true
}

// A payment that has to outlive the process gets its key before it is sent, and
// is stored with it. Whoever finds it unpaid sends it again.
func ExampleTransport_ownKey() {
	client := &http.Client{Transport: &idemhttp.Transport{}, Timeout: time.Minute}
	pay := func(url, storedKey, payment string) (receipt string, err error) {
		r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(payment))
		if err != nil {
			return "", err
		}
		r.Header.Set("Idempotency-Key", `"`+storedKey+`"`)
		response, err := client.Do(r)
		if err != nil {
			return "", err // not known: call pay again, with the same key
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err == nil && response.StatusCode != http.StatusCreated {
			err = errors.New(response.Status)
		}
		return string(body), err
	}
	_ = pay
}
