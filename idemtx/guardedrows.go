package idemtx

import (
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// guardedRows are rows on loan: they are read from the connection.
type guardedRows struct {
	pgx.Rows
	loan    *loan
	refused error // why they were not read to their end
}

func (l *loan) rows(rows pgx.Rows) pgx.Rows {
	if rows == nil { // as a pgx.Tx of somebody else's may have it
		return nil
	}
	return &guardedRows{Rows: rows, loan: l}
}

func (r *guardedRows) Next() bool {
	if r.refused = r.loan.begin(); r.refused != nil {
		return false
	}
	var err error
	defer func() { r.loan.done(err) }()
	more := r.Rows.Next()
	if !more {
		err = r.Rows.Err() // which the handler may never ask for
	}
	return more
}

func (r *guardedRows) Scan(dest ...any) (err error) {
	if err := r.loan.begin(); err != nil {
		return err
	}
	defer func() { r.loan.done(err) }()
	return r.Rows.Scan(dest...)
}

func (r *guardedRows) Values() (_ []any, err error) {
	if err := r.loan.begin(); err != nil {
		return nil, err
	}
	defer func() { r.loan.done(err) }()
	return r.Rows.Values()
}

func (r *guardedRows) Close() {
	if r.loan.begin() != nil {
		return // whoever has the connection now deals with what is left in it
	}
	var err error
	defer func() { r.loan.done(err) }()
	r.Rows.Close()
	err = r.Rows.Err()
}

func (r *guardedRows) Err() error {
	if r.refused != nil {
		return r.refused
	}
	return r.Rows.Err()
}

// guardedRow is a row on loan.
type guardedRow struct {
	row  pgx.Row
	loan *loan
}

func (r *guardedRow) Scan(dest ...any) (err error) {
	if err := r.loan.begin(); err != nil {
		return err
	}
	defer func() { r.loan.done(err) }()
	return r.row.Scan(dest...)
}

// guardedBatch is a batch on loan.
type guardedBatch struct {
	pgx.BatchResults
	loan *loan
}

func (b *guardedBatch) Exec() (_ pgconn.CommandTag, err error) {
	if err := b.loan.begin(); err != nil {
		return pgconn.CommandTag{}, err
	}
	defer func() { b.loan.done(err) }()
	return b.BatchResults.Exec()
}

func (b *guardedBatch) Query() (_ pgx.Rows, err error) {
	if err := b.loan.begin(); err != nil {
		return refused(err).Query()
	}
	defer func() { b.loan.done(err) }()
	rows, err := b.BatchResults.Query()
	return b.loan.rows(rows), err
}

func (b *guardedBatch) QueryRow() pgx.Row {
	if err := b.loan.begin(); err != nil {
		return refused(err).QueryRow()
	}
	defer b.loan.done(nil) // an error is Scan's to tell
	return &guardedRow{b.BatchResults.QueryRow(), b.loan}
}

func (b *guardedBatch) Close() (err error) {
	if err := b.loan.begin(); err != nil {
		return err
	}
	defer func() { b.loan.done(err) }()
	return b.BatchResults.Close()
}
