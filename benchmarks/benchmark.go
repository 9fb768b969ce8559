package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/idemtx/idemtx/benchmarks/cases"
	"github.com/idemtx/idemtx/benchmarks/report"
	"github.com/idemtx/idemtx/benchmarks/server"
)

// benchmark measures and reports.
func benchmark(ctx context.Context, o options) error {
	chosen := o.chosen()
	if chosen == nil {
		return errors.New("no case has such a name")
	}
	url := o.url
	if url == "" {
		s, err := server.Start(ctx, func(line string) { progress("%s", line) }, o.data)
		if err != nil {
			return err
		}
		defer s.Close()
		url = s.URL
	}
	admin, err := administrator(ctx, url)
	if err != nil {
		return err
	}
	defer admin.Close()
	b := &cases.Bench{
		URL: url, Admin: admin, Contenders: contenders(), Conns: int32(o.conns),
		Rounds: o.rounds, Turn: o.turn, Quick: o.quick, Shrink: o.shrink, Log: progress,
	}
	defer b.Close()
	r := report.Report{
		Command: command(os.Args[1:]), Began: time.Now(),
		Conns: b.Conns, Rounds: b.Rounds, Turn: b.Turn, Quick: o.quick, Shrink: o.shrink, Contenders: b.Contenders,
	}
	if r.Machine, err = report.MachineOf(ctx, b); err != nil {
		return err
	}
	for i, c := range chosen {
		progress("%3.0f s  %d of %d: %s", time.Since(r.Began).Seconds(), i+1, len(chosen), c.Name)
		result, err := c.Run(ctx, b)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		result.Case, result.About = c.Name, c.About
		r.Results = append(r.Results, result)
	}
	r.Took = time.Since(r.Began)
	return publish(r, o.out)
}

// administrator is a pool for what is not measured.
func administrator(ctx context.Context, url string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns = 1 // so that what it did can be told to the counters
	config.ConnConfig.RuntimeParams["application_name"] = cases.AdminName
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
		var value string
		if err := pool.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&value); err != nil {
			pool.Close()
			return nil, err
		}
		if value != "on" {
			progress("WARNING: %s is %s: this server's commits are not durable, and the ratios are not those of one whose are", name, value)
		}
	}
	if _, err := pool.Exec(ctx, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements"); err != nil {
		progress("statements are not counted: %v", err)
	}
	return pool, nil
}

// publish writes the report, and the picture beside its file.
func publish(r report.Report, file string) error {
	if file == "" {
		r.Markdown(os.Stdout)
		return nil
	}
	picture := strings.TrimSuffix(file, filepath.Ext(file)) + ".svg"
	drawn, err := report.Draw(r.Results, picture)
	if err != nil {
		return err
	}
	if drawn {
		r.Plot = filepath.Base(picture)
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	r.Markdown(io.MultiWriter(os.Stdout, out))
	return out.Close()
}

// command is what was run. A server's URL may hold a password.
func command(arguments []string) string {
	words := []string{"go -C benchmarks run ."}
	for i, word := range arguments {
		name, _, joined := strings.Cut(strings.TrimLeft(word, "-"), "=")
		switch {
		case name == "url" && joined:
			word = "-url=..."
		case i > 0 && strings.TrimLeft(arguments[i-1], "-") == "url":
			word = "..."
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func progress(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
}
