package main

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// runDemo sends orders to processes of the service that are killed, and fails
// unless every count is as promised.
func runDemo(ctx context.Context, out io.Writer) (err error) {
	db, err := openDatabase(ctx, "")
	if err != nil {
		return because(ctx, err)
	}
	defer func() { err = errors.Join(err, db.close()) }()

	_, stop, err := db.post(ctx, "", true) // its own outbox is empty: the children's jobs are worked
	if err != nil {
		return because(ctx, err)
	}
	defer func() { err = errors.Join(err, stop()) }()

	fmt.Fprint(out, "Each line is one order, sent again and again with the same key.\n\n")
	results, err := runScenarios(ctx, db)
	if err != nil {
		return because(ctx, err)
	}
	writeTable(out, results)
	if err := verdict(results); err != nil {
		return err
	}
	fmt.Fprint(out, `
Every count is right. The co-transaction commits an order, the job to mail its
confirmation and its reply together: there is nothing in between that a crash could
hit. Pool mode commits the reply later, and the crash in between has placed the order
twice. Both orders' mails have the request's key, and the provider has sent the first.
`)
	return nil
}

func runScenarios(ctx context.Context, db *database) ([]result, error) {
	// So that an order placed too often is counted, and not refused.
	if _, err := db.pool.Exec(ctx, `UPDATE `+db.ledger.schema+`.stock SET available = 1000 WHERE sku = $1`, demoSKU); err != nil {
		return nil, err
	}
	var results []result
	for _, s := range scenarios {
		got, err := s.run(ctx, db)
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", s.mode, s.story, err)
		}
		results = append(results, result{s, got})
	}
	return results, nil
}

// verdict names every count that is wrong.
func verdict(results []result) error {
	var wrong []error
	for _, r := range results {
		for _, difference := range r.want.differences(r.got) {
			wrong = append(wrong, fmt.Errorf("%s, %s: %s", r.mode, r.story, difference))
		}
	}
	return errors.Join(wrong...)
}
