// Package contender says what a way to make requests idempotent is to the
// benchmarks: all of them do the same work for the same requests.
package contender

import (
	"context"
	"encoding/json"
	"strconv"
)

// Env is what a contender runs on.
type Env struct {
	URL      string // of the database, perhaps through a proxy that delays
	MaxConns int32  // of its pool
	Schema   string // its own; holds the table effects (id bigint identity, key text not null) and what the contender creates
	Reply    []byte // the JSON object that the handler replies with, beside the effect's id
}

// Effect is the statement that is the work of a request.
func (e Env) Effect() string {
	return "INSERT INTO " + e.Schema + ".effects (key) VALUES ($1) RETURNING id"
}

// ReplyTo is the handler's reply to the request whose effect has this id.
func (e Env) ReplyTo(id int64) json.RawMessage {
	reply := make([]byte, 0, len(e.Reply)+40)
	reply = append(reply, `{"id":`...)
	reply = strconv.AppendInt(reply, id, 10)
	reply = append(reply, `,"body":`...)
	reply = append(reply, e.Reply...)
	return append(reply, '}')
}

// Request is one request. A key that was never seen is a first request, a known
// one a replay.
type Request struct {
	Key     string
	Payload []byte // a JSON object of about 200 bytes
}

// Handle answers a request: the effect is one INSERT into Schema.effects, once
// per key.
type Handle func(ctx context.Context, r Request) (reply []byte, replayed bool, err error)

// Kind is what a contender is there for.
type Kind string

// The kinds of contenders.
const (
	Ours  Kind = "ours"
	Floor Kind = "floor" // what cannot be less
	Peer  Kind = "peer"
)

// Operation is one of the two things that can happen to a request.
type Operation string

// The operations.
const (
	First  Operation = "first"
	Replay Operation = "replay"
)

// Contender is one way to make requests idempotent, or a floor.
type Contender struct {
	Name  string
	Kind  Kind
	About string    // one line for the report: commits per first request, atomic or not, version
	Only  Operation // the one that it is compared in; both when empty
	Open  func(ctx context.Context, e Env) (handle Handle, close func(), err error)
}

// In tells whether the contender is compared in an operation.
func (c Contender) In(o Operation) bool { return c.Only == "" || c.Only == o }
