package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// mail is what a provider is asked to send.
type mail struct {
	To      string `json:"to"`
	Subject string `json:"subject"`
	Text    string `json:"text"`
}

// confirm is the mail that confirms an order. It is made of what never changes: the
// provider knows a key by its mail, and would refuse a second attempt that says
// anything else, such as the time.
func confirm(o placedOrder) mail {
	return mail{
		To:      o.Customer,
		Subject: fmt.Sprintf("Your order %d", o.ID),
		Text:    fmt.Sprintf("%d %s", o.Quantity, o.SKU),
	}
}

// mailTimeout bounds one call of the provider. It ends before River gives the job
// up, so that the job tells why it has failed.
const mailTimeout = 30 * time.Second

// errMailRefused is the provider's answer to a mail that it will never send.
var errMailRefused = errors.New("mail: the provider refuses it")

// mailer calls a mail provider.
type mailer struct {
	url    string
	client *http.Client
}

func newMailer(url string) mailer {
	return mailer{url, &http.Client{
		Timeout: mailTimeout,
		// A POST that is redirected may come back as a GET, whose 200 sends no mail.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// send has the provider send m once, however often it is called with a key. An error
// is an errMailRefused, or leaves open whether the mail is sent: then it is to be
// called again with the same key.
func (m mailer) send(ctx context.Context, key string, message mail) error {
	body, err := json.Marshal(message)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", key)
	response, err := m.client.Do(request)
	if err != nil {
		return fmt.Errorf("mail: %w", err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxBody)) // so that the connection can be used again
	switch status := response.StatusCode; {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusBadRequest, status == http.StatusUnprocessableEntity:
		return fmt.Errorf("%w with status %d", errMailRefused, status)
	default: // it may be down, be busy with the same key, or not know us yet
		return fmt.Errorf("mail: the provider answers with status %d", status)
	}
}
