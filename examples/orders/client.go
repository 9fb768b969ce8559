package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// client sends each request on a connection of its own. On one that was used
// before, net/http sends a request with an Idempotency-Key again by itself when
// the server dies, and the demo could not tell how many there were.
var client = &http.Client{
	Transport: &http.Transport{DisableKeepAlives: true},
	Timeout:   15 * time.Second,
}

// reply is what two sendings of one request must agree in, and whether it says
// that it is a replay.
type reply struct {
	status      int
	contentType string
	body        []byte
	replayed    bool
}

func (r reply) agrees(with reply) bool {
	return r.status == with.status && r.contentType == with.contentType && bytes.Equal(r.body, with.body)
}

// key is the same for each sending of the scenario's order.
func (s scenario) key() string { return string(s.mode) + ": " + s.story }

// customer tells the scenario's orders from those of others.
func (s scenario) customer() string { return s.key() }

// send sends the scenario's order.
func (s scenario) send(ctx context.Context, to *process) (reply, error) {
	body, err := json.Marshal(order{Customer: s.customer(), SKU: demoSKU, Quantity: 1})
	if err != nil {
		return reply{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.url+s.mode.path(), bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	request.Header.Set("Authorization", "Bearer demo")
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", s.key())
	response, err := client.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	r := reply{
		status:      response.StatusCode,
		contentType: response.Header.Get("Content-Type"),
		replayed:    response.Header.Get("Idempotency-Replayed") == "true",
	}
	r.body, err = io.ReadAll(response.Body)
	return r, err
}

// countReplies counts as agreeing those that say the order is placed, in the
// same words as the first.
func (c *counts) countReplies(replies []reply) {
	c.replies = len(replies)
	for _, r := range replies {
		if r.status == http.StatusCreated && r.agrees(replies[0]) {
			c.agree++
		}
		if r.replayed {
			c.replayed++
		}
	}
}
